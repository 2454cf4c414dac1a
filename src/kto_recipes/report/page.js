// Draws every plot of the page with the colours of its style, and again when the colour scheme changes.
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  // Dragging inside a plot would keep a finger from scrolling the page.
  const dragmode = window.matchMedia("(pointer: coarse)").matches ? false : "zoom";
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function trace(series) {
    const evaluation = series.split === "evaluation";
    const few = series.x.length <= 40;
    return {
      x: series.x,
      y: series.y,
      name: series.name === series.split ? series.name : `${series.name}, ${series.split}`,
      type: "scatter",
      mode: evaluation || few ? "lines+markers" : "lines",
      line: { color: colour(`plot-${series.role}`), width: evaluation ? 2.25 : 1.25 },
      marker: { size: evaluation ? 7 : 4, symbol: evaluation ? "diamond" : "circle" },
      opacity: evaluation ? 1 : 0.6,
      cliponaxis: false,
    };
  }

  const title = (text) => ({ text, standoff: 8, font: { size: 13 } });

  function layout(plot) {
    const axis = {
      gridcolor: colour("line"),
      zerolinecolor: colour("line-strong"),
      linecolor: colour("line-strong"),
      automargin: true,
    };
    const nonnegative = plot.series.every((series) => series.y.every((y) => y === null || y >= 0));
    return {
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("text-soft") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 8, r: 8, t: 8, b: 8 },
      xaxis: { ...axis, title: title("optimizer steps"), rangemode: "tozero" },
      yaxis: {
        ...axis,
        title: title(plot.y),
        hoverformat: ".4~g",
        rangemode: nonnegative ? "nonnegative" : "normal",
      },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom" },
      showlegend: true,
      hovermode: "x unified",
      hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line-strong"), font: { color: colour("text") } },
      dragmode,
    };
  }

  function draw() {
    for (const plot of plots) {
      // The bar of buttons would lie on the legend, and one of its buttons sends the data to a server.
      const options = { displayModeBar: false, responsive: true };
      Plotly.react(plot.id, plot.series.map(trace), layout(plot), options);
    }
  }

  draw();
  dark.addEventListener("change", draw);
})();
