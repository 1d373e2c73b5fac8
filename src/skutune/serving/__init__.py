"""A finished run in use: its tuned model answers, its linker links, its rows are explained."""
