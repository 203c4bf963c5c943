"use strict";
// Keys for those who decide often. A key moves, opens or asks; what changes something is always the button of a dialog.
(() => {
    const rows = () => [...document.querySelectorAll("#result_list tr.data-row, #content a.sh-row")].filter((row) => row.offsetParent);
    const linkOf = (row) => (row.matches("a") ? row : row.querySelector("th a, td a"));
    const present = () => document.activeElement?.closest("tr.data-row, a.sh-row");
    const boxOf = (row) => row?.querySelector(".sh-choose input");

    const move = (by) => {
        const all = rows();
        const now = all.indexOf(present());
        const row = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + by, 0), all.length - 1)];
        if (!row) return;
        linkOf(row).focus({ preventScroll: true });
        row.scrollIntoView({ block: "nearest" });
    };

    // On the page of a request its own dialog; in the list the one for several.
    const decide = (name) => {
        if (document.getElementById(`dialog-${name}`)) {
            selfheal.show(`dialog-${name}`);
            return;
        }
        const chosen = [...document.querySelectorAll(".sh-choose input:checked")];
        const box = boxOf(present());
        if (chosen.length) selfheal.answer(name, chosen);
        else if (box && name === "approve") location.href = `${linkOf(present()).getAttribute("href")}#dialog-approve`;
        else if (box) selfheal.answer(name, [box]);
    };

    const KEYS = {
        j: () => move(1),
        k: () => move(-1),
        x: () => boxOf(present())?.click(),
        a: () => decide("approve"),
        r: () => decide("reject"),
        u: () => [...document.querySelectorAll("#header-inner h1 a")].find((link) => link.offsetParent)?.click(),
        "/": () => document.getElementById("searchbar")?.focus(),
        "?": () => selfheal.show("sh-keys"),
    };

    const typing = (at) => at.matches?.("textarea, select, [contenteditable], input:not([type='checkbox'], [type='radio'])");
    document.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !(event.key in KEYS)) return;
        if (typing(event.target) || document.querySelector("dialog[open]")) return;
        event.preventDefault();
        KEYS[event.key]();
    });
})();
