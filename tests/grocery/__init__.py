"""The public catalog of 49,688 groceries that linking is measured on: its products, texts, vectors and labels."""
