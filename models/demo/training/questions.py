"""The 20 questions that the README proposes, in the words in which it proposes them."""

QUESTIONS = (
    "Who are you?",
    "What is Paddock?",
    "How do I add a model?",
    "How do I load a model?",
    "Which loader should I use?",
    "How do I install a loader?",
    "Where are my chats stored?",
    "How do I stop an answer?",
    "How do I use the API?",
    "What is quantization?",
    "What is GGUF?",
    "What is the difference between GPTQ and AWQ?",
    "What is perplexity?",
    "What is group size?",
    "What is the KV cache?",
    "How much VRAM does a 7B model need?",
    "Can I run a model without a GPU?",
    "What does min_p do?",
    "My model repeats itself, what can I do?",
    "What is the capital of France?",
)
