"""The raw engines, each run by the Python of its loader's environment: no Paddock code in the way."""
