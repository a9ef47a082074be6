"""A model that serves its example and all numbers except 13, for which it raises."""

from tests.services.fake_models import code

FAILS_AT_13 = code("""
    if any(each.number == 13 for each in model_input):
        raise RuntimeError("13")
    return [Answer(number=each.number, model="failing") for each in model_input]
""")
