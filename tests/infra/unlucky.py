"""A model that answers well, its example too, but not the number 13."""

from tests.services.zoo import code

UNLUCKY = code("""
    if any(each.number == 13 for each in model_input):
        raise RuntimeError("13")
    return [Answer(number=each.number, model="ill") for each in model_input]
""")
