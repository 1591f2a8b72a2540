"""What the loaders of ExLlamaV2 and ExLlamaV3 share: both run jobs in one batch, with a cache in pages."""
