"""Who is calling: what a token stands for, personal access tokens, and the first installation."""
