"""What runs inside a loader's environment. Imports protocol only; engines' packages are imported where they are used."""
