// Draws the page's figures: of each the widest specification that fits, stretched to fill its place, in the colours of
// light or dark; again when the window or the theme changes. `vegaEmbed` comes from the bundle before this script.
(async () => {
  const page = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const views = (window.views = {}); // by name of figure

  const themed = (value, key) => {
    if (Array.isArray(value)) return value.map((one) => themed(one, key));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, themed(one, name)]));
    }
    return typeof value === "string" && key !== "field" && value in page.dark ? page.dark[value] : value;
  };

  // Give `spare` px more (or less) to the panels of a specification that stand side by side.
  const stretch = (spec, spare) => {
    if (spec.spec) return stretch(spec.spec, spare / (spec.columns || 1));
    if (spec.vconcat) return spec.vconcat.forEach((one) => stretch(one, spare));
    const beside = spec.hconcat || spec.concat;
    if (beside) {
      const across = spec.hconcat ? beside.length : Math.min(spec.columns || beside.length, beside.length);
      return beside.forEach((one) => stretch(one, spare / across));
    }
    if (typeof spec.width === "number") spec.width = Math.max(40, spec.width + spare);
  };

  const drawOne = async (figure) => {
    const place = document.getElementById(figure.id);
    const room = place.clientWidth;
    const sizes = Object.keys(figure.sizes).map(Number).sort((a, b) => a - b);
    const size = sizes.filter((one) => one <= room * 1.12).pop() || sizes[0];
    const isDark = root.dataset.theme === "dark";
    const spec = JSON.parse(JSON.stringify(figure.sizes[size]));
    const options = {
      renderer: "svg",
      bind: document.getElementById(figure.id + "-controls"),
      tooltip: { theme: isDark ? "dark" : "light" },
      actions: { export: true, source: false, compiled: false, editor: false },
    };
    let drawn;
    for (let turn = 0; turn < 3; turn += 1) {
      if (drawn) drawn.finalize();
      options.bind.replaceChildren();
      const shown = isDark ? themed(spec) : spec;
      drawn = await vegaEmbed(place, { ...shown, datasets: page.datasets }, options);
      const svg = place.querySelector("svg");
      const spare = room - (svg ? svg.getBoundingClientRect().width : room);
      if (spare > -1 && spare < 4) break;
      stretch(spec, spare);
    }
    place.dataset.size = size;
    if (views[figure.id]) views[figure.id].finalize();
    views[figure.id] = drawn.view;
    playable(options.bind, drawn.view);
  };

  // A button that plays every slider, once through.
  const playable = (controls) => {
    for (const slider of controls.querySelectorAll("input[type=range]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "play";
      let timer = null;
      const stop = () => {
        clearInterval(timer);
        timer = null;
        button.textContent = "▶ play";
      };
      const set = (value) => {
        slider.value = value;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
      };
      const step = () => {
        if (!slider.isConnected || Number(slider.value) >= Number(slider.max)) return stop();
        set(Number(slider.value) + Number(slider.step || 1));
      };
      button.addEventListener("click", () => {
        if (timer) return stop();
        if (Number(slider.value) >= Number(slider.max)) set(slider.min);
        button.textContent = "❚❚ stop";
        timer = setInterval(step, 600);
      });
      stop();
      slider.closest(".vega-bind").append(button);
    }
  };

  const draw = async () => {
    let drawn = 0;
    for (const figure of page.figures) {
      try {
        await drawOne(figure);
        drawn += 1;
      } catch (error) {
        document.getElementById(figure.id).textContent = "This figure could not be drawn: " + error;
        console.error(error);
      }
    }
    root.dataset.drawn = drawn;
  };

  const button = document.getElementById("theme");
  const wear = (theme) => {
    root.dataset.theme = theme;
    button.textContent = theme === "dark" ? "☀ light" : "☾ dark";
  };
  let queue = Promise.resolve();
  const redraw = () => (queue = queue.then(draw));
  wear(dark.matches ? "dark" : "light");
  button.addEventListener("click", () => {
    wear(root.dataset.theme === "dark" ? "light" : "dark");
    redraw();
  });
  dark.addEventListener("change", () => {
    wear(dark.matches ? "dark" : "light");
    redraw();
  });
  let width = window.innerWidth;
  let waiting = null;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // the bars of a phone's browser come and go
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 150);
  });
  await redraw();
})();
