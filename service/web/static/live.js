// While a job is active, fetch this page again and put its live part and title in place; forms stay untouched.
const live = () => document.getElementById("live");

async function refresh() {
  let pause = 1000;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("live");
    if (next && next.outerHTML !== live().outerHTML) {
      const focused = live().contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      live().replaceWith(next);
      if (focused) document.querySelector(`#live [href="${CSS.escape(focused)}"]`)?.focus();
    }
    document.title = page.title;
    document.body.classList.remove("away");
  } catch {
    document.body.classList.add("away"); // the style sheet says that the service does not answer
    pause = 5000;
  }
  watch(pause);
}

function watch(pause) {
  if (live() && "active" in live().dataset) setTimeout(refresh, document.hidden ? 10000 : pause);
}

watch(1000);
