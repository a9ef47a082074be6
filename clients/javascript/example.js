// The example page: reads the form, calls the model, shows the answer or what is wrong.
import { Client, Refused } from "./slipway.js";

const titanic = new Client("http://127.0.0.1:8000").model("titanic");
const form = document.querySelector("form");
const output = document.querySelector("output");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, sex, passenger_class, fare } = Object.fromEntries(new FormData(form));
  const record = {
    name, sex, passenger_class: Number(passenger_class), fare: Number(fare),
    siblings_spouses: 0, parents_children: 0,
  };
  try {
    const { predictions, version } = await titanic.predict(record);
    const percent = (100 * predictions[0].probability).toFixed(0);
    const said = predictions[0].survived ? "Yes" : "No";
    output.value = `${said}: ${percent} % (version ${version})`;
  } catch (error) {
    output.value = error instanceof Refused ? error.message : `No server: ${error.message}`;
  }
});
