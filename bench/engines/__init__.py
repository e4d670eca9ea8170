"""The comparison engines' programs; they run in bench/.venv and import nothing of the product."""
