"use strict";
// Several requests at once: what is chosen is counted, and named in the dialog before anything is done.
(() => {
    const bar = document.getElementById("sh-bulk");
    if (!bar) return;
    const boxes = () => [...document.querySelectorAll(".sh-choose input")];
    const chosen = () => boxes().filter((box) => box.checked);

    const count = () => {
        const number = chosen().length;
        bar.hidden = number === 0;
        bar.querySelector("[data-count]").textContent = number;
        document.body.classList.toggle("sh-choosing", number > 0);
        for (const box of boxes()) box.closest("tr").classList.toggle("sh-row-chosen", box.checked);
    };

    const line = (box, takes) => {
        const item = document.createElement("li");
        const row = box.closest("tr");
        item.textContent = row.querySelector("th").textContent.trim();
        const word = document.createElement("span");
        word.className = takes ? "sh-dim" : "sh-bad";
        word.textContent = takes ? ` ${box.dataset.impact} impact` : ` ${box.dataset.impact} impact: not approved so, only on its own page`;
        item.append(word);
        if (takes) {
            const id = document.createElement("input");
            Object.assign(id, { type: "hidden", name: "ids", value: box.value });
            item.append(id);
        }
        return item;
    };

    const answer = (name, all) => {
        const dialog = document.getElementById(`bulk-${name}`);
        const taken = all.filter((box) => name === "reject" || box.dataset.impact === "low");
        dialog.querySelector("[data-chosen]").replaceChildren(...all.map((box) => line(box, taken.includes(box))));
        dialog.querySelector("[data-number]").textContent = taken.length;
        dialog.querySelector("[type=submit]").disabled = taken.length === 0;
        dialog.showModal();
        dialog.querySelector("textarea").focus();
    };

    document.addEventListener("change", (event) => { if (event.target.closest(".sh-choose")) count(); });
    document.addEventListener("selfheal:fresh", count);
    bar.addEventListener("click", (event) => {
        const { choose, bulk } = event.target.closest("button")?.dataset ?? {};
        if (choose) {
            for (const box of boxes()) box.checked = choose === "all";
            count();
        }
        if (bulk) answer(bulk, chosen());
    });
    window.addEventListener("pageshow", count);
    selfheal.answer = answer;
})();
