"""Policies as values: rules, conditions, bindings, and what they come to. No I/O."""
