"""The page in other languages: texts are taken from the sources, translated in .po files, and served as JSON."""
