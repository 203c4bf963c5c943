"use strict";
// Opens dialogs, keeps relative times true, copies a suggestion, offers the browser's time zone. It never submits anything.
(() => {
    const span = (seconds) => {
        const s = Math.abs(seconds);
        if (s < 90) return `${Math.round(s)} s`;
        if (s < 90 * 60) return `${Math.round(s / 60)} min`;
        if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
        return `${Math.round(s / 86400)} days`;
    };

    // The clock of this machine may be wrong: what counts is how long the page has been open, added to the server's words.
    const opened = performance.now();
    const open = () => (performance.now() - opened) / 1000;
    const relative = () => {
        for (const time of document.querySelectorAll("time[data-relative]")) {
            if (!time.dataset.left) continue;
            const left = Number(time.dataset.left) - open();
            const words = left > 0 ? `in ${span(left)}` : `${span(left)} ago`;
            if (time.textContent !== words) time.textContent = words;
        }
    };
    setInterval(relative, 5000);

    // What arrives later counts from now, not from when the page was opened.
    const arrive = (fresh) => {
        for (const time of fresh.querySelectorAll("time[data-left]")) time.dataset.left = Number(time.dataset.left) + open();
    };

    const show = (id) => {
        const dialog = document.getElementById(id);
        if (dialog instanceof HTMLDialogElement && !dialog.open) dialog.showModal();
    };
    window.selfheal = { arrive, relative, show };

    document.addEventListener("DOMContentLoaded", () => {
        if (location.hash.startsWith("#dialog-")) {
            show(location.hash.slice(1));
            history.replaceState(null, "", location.pathname + location.search);
        }
        for (const offer of document.querySelectorAll("[data-browser-zone]")) {
            const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
            const field = document.getElementById(offer.dataset.browserZone);
            offer.hidden = ![...field.options].some((option) => option.value === zone) || field.value === zone;
            offer.querySelector("span").textContent = zone;
            offer.querySelector("button").addEventListener("click", () => { field.value = zone; field.focus(); });
        }
    });

    document.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (!button) return;
        if (button.dataset.dialog) show(button.dataset.dialog);
        if ("close" in button.dataset) button.closest("dialog").close();
        if (button.dataset.copy) {
            navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent).then(() => { button.textContent = "Copied"; });
        }
    });

    document.addEventListener("submit", (event) => {
        if (event.target.closest("dialog.sh-dialog")) event.submitter?.setAttribute("disabled", "");
    });
})();
