// Sets the colours that the system asks for, before the page is drawn.
const dark = matchMedia("(prefers-color-scheme: dark)");
const apply = () => (document.documentElement.dataset.bsTheme = dark.matches ? "dark" : "light");
dark.addEventListener("change", apply);
apply();
