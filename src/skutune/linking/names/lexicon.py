"""Words that mean the same, say little, or forbid: what English names of products need to be compared.

Everything here is about words, nothing about one catalog. All entries are in the form that `phrases.stem` gives: lower
case, singular, without accents. Names in other languages pass through unchanged.
"""

from __future__ import annotations

from skutune.text import words

STOP = frozenset(words("a an any and the of or n to with in for from on by my your our"))

WEAK = frozenset(
    words(
        "fresh homemade classic original traditional style premium natural organic new select quality gourmet real "
        "pure delicious best large small mini medium big jumbo family size value pack count ct oz fl lb lbs g kg ml "
        "favorite l each piece serving package single crispy crunchy creamy tasty simple "
        "brand finest authentic famous great perfect old fashioned fashion farm store assorted assortment variety"
    )
)
"""Words that say little about what a thing is; they weigh less, and never count as a head."""

CONTAINERS = tuple(
    words(
        "box bag bottle can jar tin tub tube carton pouch packet pack package container bowl cup glass pot bunch loaf "
        "slice stick bar jug keg roll case"
    )
)
"""What things come in. "Bag of chips" is chips, and a camera bag is no camera: these say little only before "of"."""

SPELLINGS = {
    "yoghurt": "yogurt", "yogourt": "yogurt", "doughnut": "donut", "bbq": "barbecue", "barbeque": "barbecue",
    "chilli": "chili", "chile": "chili", "chily": "chili", "catsup": "ketchup", "omelette": "omelet",
    "whisky": "whiskey", "hummous": "hummus", "houmous": "hummus", "houmus": "hummus", "mac": "macaroni",
    "veggy": "vegetable", "veg": "vegetable", "aubergine": "eggplant", "courgette": "zucchini", "mayo": "mayonnaise",
    "grey": "gray", "leave": "leaf", "loave": "loaf", "knive": "knife", "halve": "half", "litre": "liter",
    "fibre": "fiber", "centre": "center", "flavour": "flavor", "flavoured": "flavored", "colour": "color",
    "savoury": "savory", "favourite": "favorite", "mould": "mold", "children": "child", "tyre": "tire",
    "aluminium": "aluminum", "odour": "odor", "sulphate": "sulfate", "moisturising": "moisturizing",
    "moisturiser": "moisturizer", "pasteurised": "pasteurized", "caramelised": "caramelized", "soya": "soy",
    "prawn": "shrimp", "beetroot": "beet", "gherkin": "pickle", "nappy": "diaper", "wholemeal": "wholewheat",
    "sweetcorn": "corn", "swede": "rutabaga", "mangetout": "snowpea", "garbanzo": "chickpea", "chick-pea": "chickpea",
    "porridge": "oatmeal", "tinned": "canned", "treacle": "molasses", "molass": "molasses", "minced": "ground",
    "linguini": "linguine", "fettuccini": "fettuccine", "fettucine": "fettuccine", "brocoli": "broccoli",
    "parmesean": "parmesan", "parmigiano": "parmesan", "mozarella": "mozzarella", "pitta": "pita",
    "tofurkey": "tofurky", "falafal": "falafel", "serviette": "napkin", "ramyun": "ramen", "dishwashing": "dish",
    "scarve": "scarf", "shelve": "shelf", "lens": "lens", "lense": "lens", "calve": "calf", "wolve": "wolf",
    "gas": "gas", "gase": "gas", "buse": "bus", "mice": "mouse", "teeth": "tooth", "feet": "foot", "wharve": "wharf",
    "popsicle": "icepop", "roquette": "arugula", "pawpaw": "papaya", "mangoe": "mango", "cantaloup": "cantaloupe",
}  # fmt: skip
"""One spelling for one word, British and American and in misspellings that are common."""

_PHRASES = {
    "washing up liquid": "dish soap", "dish liquid": "dish soap", "dish detergent": "dish soap",
    "kitchen roll": "paper towel", "kitchen paper": "paper towel", "loo roll": "toilet paper",
    "toilet roll": "toilet paper", "toilet tissue": "toilet paper", "bath tissue": "toilet paper",
    "bathroom tissue": "toilet paper", "loo paper": "toilet paper", "cling film": "plastic wrap",
    "clingfilm": "plastic wrap", "saran wrap": "plastic wrap", "tin foil": "aluminum foil",
    "kitchen foil": "aluminum foil", "candy floss": "cotton candy", "ice lolly": "icepop", "ice pop": "icepop",
    "freezer pop": "icepop", "soda pop": "soda", "fizzy drink": "soda", "soft drink": "soda",
    "fizzy water": "sparkling water", "carbonated water": "sparkling water", "seltzer water": "sparkling water",
    "seltzer": "sparkling water", "hard seltzer": "hardseltzer", "alka seltzer": "alkaseltzer",
    "bubbly water": "sparkling water", "rocket leaf": "arugula", "rocket salad": "arugula",
    "spring onion": "green onion", "salad onion": "green onion", "scallion": "green onion",
    "beef mince": "ground beef", "mince": "ground beef", "turkey mince": "ground turkey", "pork mince": "ground pork",
    "lamb mince": "ground lamb", "chicken mince": "ground chicken", "mince pie": "mincepie",
    "vegan mince": "vegan ground meat", "vegetarian mince": "vegetarian ground meat", "mincemeat beef": "ground beef",
    "hamburger meat": "ground beef", "icing sugar": "powdered sugar", "confectioner sugar": "powdered sugar",
    "bicarbonate soda": "baking soda", "skim milk": "nonfat milk", "part skim": "partskim",
    "skimmed milk": "nonfat milk", "semi skimmed milk": "reduced fat milk", "whole wheat": "wholewheat",
    "broad bean": "fava bean", "chickpea bean": "chickpea", "chick pea": "chickpea", "mange tout": "snowpea",
    "snow pea": "snowpea", "sultana": "golden raisin", "rapeseed oil": "canola oil", "sticking plaster": "bandage",
    "band aid": "bandage", "bandaid": "bandage", "bin bag": "trash bag", "bin liner": "trash bag",
    "rubbish bag": "trash bag", "garbage bag": "trash bag", "washing powder": "laundry detergent",
    "fabric conditioner": "fabric softener", "hand wash": "hand soap", "shower gel": "body wash",
    "cotton bud": "cotton swab", "q tip": "cotton swab", "qtip": "cotton swab", "fish finger": "fish stick",
    "jacket potato": "baked potato", "pak choi": "bok choy", "pak choy": "bok choy", "bok choi": "bok choy",
    "chili con carne": "chili", "tomato ketchup": "ketchup", "coriander leaf": "cilantro",
    "fresh coriander": "cilantro", "stock cube": "bouillon cube", "pop corn": "popcorn", "tooth brush": "toothbrush",
    "tooth paste": "toothpaste", "dental tape": "dental floss", "kleenex": "facial tissue", "maize": "corn",
    "corn cob": "corn", "spaghetti noodle": "spaghetti", "rainbow jimmy": "sprinkle",
    "chocolate jimmy": "chocolate sprinkle", "cos lettuce": "romaine lettuce", "sanitary towel": "maxi pad",
    "sanitary napkin": "maxi pad", "sanitary pad": "maxi pad", "oj": "orange juice", "pb": "peanut butter",
    "evoo": "extra virgin olive oil", "hair conditioner": "conditioner", "tea bag": "tea", "teabag": "tea",
    "anti perspirant": "antiperspirant",
}  # fmt: skip


def _by_first(phrases: dict[str, str]) -> dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    """Phrases by their first word, the longest first."""
    found: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for phrase, meant in sorted(phrases.items(), key=lambda each: -len(each[0].split())):
        parts = tuple(phrase.split())
        found.setdefault(parts[0], []).append((parts, tuple(meant.split())))
    return found


PHRASES = _by_first(_PHRASES)
"""Runs of words and the words that the shop uses for them, by the run's first word: other names of one thing."""

FREE = frozenset(
    words(
        "nut peanut gluten sugar dairy lactose egg soy wheat caffeine alcohol fat salt sodium meat fragrance "
        "grain corn pork oil milk fluoride pulp yeast perfume scent fish shellfish nitrate hormone antibiotic "
        "preservative additive cholesterol msg bpa phosphate chlorine calory bleach sulfate paraben silicone "
        "aluminum dye"
    )
)
"""What a product can be free of: "X free", "no X", "zero X", "X-less"."""

CONSTRAINTS = {
    "decaf": "caffeine-free", "decaffeinated": "caffeine-free", "caffeineless": "caffeine-free", "vegan": "vegan",
    "vegetarian": "vegetarian", "meatless": "vegetarian", "sugarless": "sugar-free", "unsweetened": "unsweetened",
    "treenutfree": "tree-nut-free", "unsalted": "salt-free", "saltless": "salt-free", "nonfat": "fat-free",
    "nondairy": "dairy-free", "nonalcoholic": "alcohol-free", "unscented": "fragrance-free", "kosher": "kosher",
    "halal": "halal", "diet": "sugar-free", "lowfat": "low-fat", "glutenless": "gluten-free", "eggless": "egg-free",
    "flourless": "flourless", "keto": "keto", "paleo": "paleo",
}  # fmt: skip
"""Single words that are a constraint."""

LOW = {
    "fat": "low-fat",
    "sodium": "low-salt",
    "salt": "low-salt",
    "sugar": "low-sugar",
    "calory": "low-calorie",
    "carb": "low-carb",
}
"""What a product can have little of: "low X", "reduced X", "less X", "lower X"."""

LITTLE = frozenset(words("low reduced less lower light lite lightly"))

MANNERS = {
    "diet": "diet", "reduced": "reduced", "less": "reduced", "lower": "reduced", "light": "light", "lite": "light",
    "lightly": "light",
}  # fmt: skip
"""Words that ask for nearly what another asks for: who wants zero sugar takes a diet cola, but it is not that cola."""

IMPLIED = {
    "vegan": ("vegetarian", "dairy-free", "lactose-free", "egg-free", "meat-free"),
    "vegetarian": ("meat-free",),
    "meat-free": ("vegetarian",),
    "dairy-free": ("lactose-free",),
    "nut-free": ("peanut-free", "tree-nut-free"),
    "gluten-free": ("wheat-free",),
    "fat-free": ("low-fat",),
    "salt-free": ("low-salt",),
    "sugar-free": ("low-sugar",),
    "calorie-free": ("low-calorie",),
}
"""What a constraint that is met implies."""

FREE_NAMES = {"sodium": "salt", "calory": "calorie", "milk": "dairy", "perfume": "fragrance", "scent": "fragrance"}
"""Substances under another name."""

ALL_CONSTRAINTS = tuple(
    sorted({*CONSTRAINTS.values(), *LOW.values(), *(f"{FREE_NAMES.get(name, name)}-free" for name in FREE)})
)
"""Every constraint that `phrases.read` can find."""
