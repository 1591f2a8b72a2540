"""Names of components of text-generation-webui's page that have no counterpart in Paddock."""

from __future__ import annotations

# Fields of its Model tab. Reading one returns the setting of the loaded model.
CONTEXT = ("ctx_size", "max_seq_len", "n_ctx")
MODEL = (
    *CONTEXT,
    *("alpha_value", "attn_implementation", "auto_devices", "autoload_model", "batch_size", "bf16", "cache_4bit"),
    *("cache_8bit", "cache_type", "cfg_cache", "compress_pos_emb", "compute_dtype", "cpp_runner", "cpu"),
    *("cpu_memory", "desc_act", "disable_exllama", "disable_exllamav2", "disk", "enable_tp", "extra_flags"),
    *("filter_by_loader", "flash_attn", "gpu_layers", "gpu_memory", "gpu_split", "groupsize", "hqq_backend"),
    *("load_in_4bit", "load_in_8bit", "logits_all", "low_vram", "mlock", "mmproj", "model_draft", "model_type"),
    *("n_batch", "n_gpu_layers", "n_gqa", "no_flash_attn", "no_inject_fused_attention", "no_inject_fused_mlp"),
    *("no_kv_offload", "no_mmap", "no_mul_mat_q", "no_offload_kqv", "no_sdpa", "no_use_cuda_fp16", "no_use_fast"),
    *("no_xformers", "num_experts_per_token", "numa", "pre_layer", "quant_type", "rms_norm_eps", "rope_freq_base"),
    *("row_split", "streaming_llm", "tensor_split", "tensorcores", "threads", "threads_batch", "tp_backend"),
    *("transformers_bits", "triton", "trust_remote_code", "ubatch_size", "use_double_quant", "use_eager_attention"),
    *("use_flash_attention_2", "wbits"),
)
# Fields that store values of scripts.
STORED = (
    *("bool_menu", "character_picture", "custom_model_menu", "download_specific", "extensions_menu", "grammar_file"),
    *("html-default", "html-notebook", "markdown-default", "markdown-notebook", "model_status", "output_textbox"),
    *("past_chats", "prompt_menu-default", "prompt_menu-notebook", "rename_to", "save_character_filename"),
    *("save_contents", "save_filename", "save_preset_filename", "save_root", "search_chat"),
    *("send_instruction_to_textbox", "show_controls_row", "temporary_text", "textbox-default", "textbox-notebook"),
    *("token-counter-default", "token-counter-notebook", "user_menu", "your_picture"),
)
# Buttons that are never pressed.
BUTTONS = (
    *("Continue-default", "Continue-notebook", "Copy last reply", "Count tokens", "Generate-default"),
    *("Generate-notebook", "Impersonate", "Regenerate-default", "Regenerate-notebook", "Replace last reply"),
    *("Send dummy message", "Send dummy reply", "Stop-default", "Stop-notebook", "Undo", "branch_chat"),
    *("delete_character", "delete_chat", "delete_preset", "download_model_button", "rename_chat", "reset_interface"),
    *("save_character", "save_chat_history", "save_model_settings", "save_preset", "save_settings"),
    *("toggle_dark_mode", "upload_chat_history"),
)
