// On a narrow window the menu scrolls: the line of this page is brought into sight.

const here = document.querySelector(".menu [aria-current]");
const show = () => here?.scrollIntoView({ block: "nearest", inline: "center" });

addEventListener("resize", show);
show();
