// On a narrow window the menu scrolls: the line of this page is brought into sight.

document.querySelector(".menu [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
