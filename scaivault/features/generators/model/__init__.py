"""Secret policies as values: what each generator may be told, and what it gives. No I/O."""
