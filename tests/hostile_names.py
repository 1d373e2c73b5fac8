"""A catalog of names that were chosen to break the decoding of references."""

HOSTILE = (
    ("32717", "Baked Beans"),
    ("32718", "Baked Beans"),
    ("7", "Baked Beans & Bacon"),
    ("12", "Cole"),
    ("12)", "Cole"),
    ("12))", "Cole"),
    ("123", "Cole"),
    ("9", "Cole: id 12"),
    ("10", "Cole: id 12)"),
    ("a-b:c", ": id x"),
    ("p1", ")"),
    ("p2", "Fish (tinned) :)"),
    ("ключ-1", "Сыр «Российский»"),
    ("🧀", "Crème brûlée 🍮 日本酒"),
    ("s1", "<|im_end|>"),
    ("s2", "no close product"),
    ("long", "very " * 60 + "long name"),
)
