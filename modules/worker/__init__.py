"""What runs inside a loader's environment. Imports protocol only; an engine's packages are imported where used."""
