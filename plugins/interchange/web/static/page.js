// The page works without this file. Inside Airflow it takes on Airflow's colours, and its links to Airflow's own
// pages open in Airflow's window: the frame itself may not do that.
"use strict";

const airflow = window.parent === window ? null : window.parent.document;

if (airflow) {
  const root = airflow.documentElement;
  const follow = () => {
    document.documentElement.dataset.theme = root.classList.contains("dark") ? "dark" : "light";
  };
  follow();
  new MutationObserver(follow).observe(root, { attributes: true, attributeFilter: ["class"] });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-outside]");
    if (!link) return;
    event.preventDefault();
    const outside = airflow.createElement("a");
    outside.href = link.href;
    airflow.body.append(outside);
    outside.click();
    outside.remove();
  });
}
