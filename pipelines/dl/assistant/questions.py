"""Easy questions with the word that an answer should hold, written for this project."""

# To compare the graph with the published model.
TRAIN = (
    ("What is the capital of Italy?", "Rome"),
    ("Name the largest planet of the solar system.", "Jupiter"),
    ("What gas do plants take from the air?", "carbon dioxide"),
    ("Write one sentence about the sea.", "sea"),
    ("Which animal is called man's best friend?", "dog"),
    ("Explain in two sentences why the sky is blue.", "light"),
    ("How many legs does a spider have?", "eight"),
    ("Give me three tips for sleeping well.", "sleep"),
)
TEST = (
    ("What is the capital of France?", "Paris"),
    ("Which planet is closest to the sun?", "Mercury"),
    ("What do bees make?", "honey"),
    ("Who wrote Romeo and Juliet?", "Shakespeare"),
    ("What is frozen water called?", "ice"),
    ("Which ocean lies between Europe and America?", "Atlantic"),
    ("What is the opposite of hot?", "cold"),
    ("How many days does a week have?", "seven"),
    ("In which country is the Great Wall?", "China"),
    ("Which organ pumps blood through the body?", "heart"),
    ("What is the chemical symbol of gold?", "Au"),
    ("Which language is spoken in Brazil?", "Portuguese"),
    ("What color do you get from blue and yellow?", "green"),
    ("Who painted the Mona Lisa?", "Leonardo"),
    ("What is the largest animal on Earth?", "whale"),
    ("What do we call a baby cat?", "kitten"),
    ("At what temperature in Celsius does water boil?", "100"),
    ("Which instrument measures temperature?", "thermometer"),
    ("What is the currency of Japan?", "yen"),
    ("Which star does the Earth go around?", "sun"),
)
