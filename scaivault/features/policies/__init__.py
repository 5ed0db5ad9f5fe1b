"""Who may do what on which paths: policies, their bindings, and the guard that everything else asks."""
