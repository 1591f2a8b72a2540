"""AutoAWQ: AWQ folders, by the engine that most of them were made with."""
