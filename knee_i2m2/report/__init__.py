"""Tables, figures and one page to read, made of a run's files."""
