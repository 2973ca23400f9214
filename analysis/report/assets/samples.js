// Sample images: those of the chosen dataset and scenario, of the models that are shown.

const samples = () => {
  const found = [...document.querySelectorAll(".sample")];
  const narrow = () => {
    for (const one of found) {
      one.hidden = one.dataset.cell !== `${state.dataset}/${state.scenario}` || state.hidden.has(one.dataset.model);
    }
  };
  onChange(narrow);
  narrow();
};
