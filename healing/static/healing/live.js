"use strict";
// Keeps an open page true: asks every few seconds for what has changed and changes just that. The place, what is chosen, unfolded,
// focused or typed, and an open dialog stay as they are. An answer without news costs the server a look and sends nothing.
(() => {
    const part = () => document.querySelector("[data-live]");
    let stamp = "";
    let timer = 0;
    let told = "";

    const say = (words, stale = false) => {
        const word = document.getElementById("sh-fresh");
        if (!word) return;
        word.textContent = words;
        word.classList.toggle("sh-stale", stale);
    };

    const keyOf = (node) => {
        if (node.nodeType !== Node.ELEMENT_NODE) return "";
        if (node.id) return `#${node.id}`;
        if (node.nodeName === "TBODY") return node.querySelector("th a[href]")?.getAttribute("href") ?? "";
        return node.classList.contains("sh-row") ? node.getAttribute("href") : "";
    };

    // Makes `old` what `fresh` is and touches only what differs.
    const become = (old, fresh) => {
        if (old.isEqualNode(fresh)) return;
        if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
            old.replaceWith(fresh);
        } else if (old.nodeType !== Node.ELEMENT_NODE) {
            old.nodeValue = fresh.nodeValue;
        } else if (!("kept" in old.dataset)) {
            attributes(old, fresh);
            children(old, fresh);
        }
    };

    const attributes = (old, fresh) => {
        for (const { name, value } of fresh.attributes) {
            if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
        }
        for (const { name } of [...old.attributes]) {
            if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
        }
    };

    const children = (old, fresh) => {
        const keyed = new Map([...old.childNodes].map((node) => [keyOf(node), node]).filter(([key]) => key));
        let place = old.firstChild;
        for (const next of [...fresh.childNodes]) {
            const key = keyOf(next);
            const alike = place && !keyOf(place) && place.nodeName === next.nodeName ? place : null;
            const found = key ? keyed.get(key) : alike;
            if (!found) {
                old.insertBefore(next, place);
                continue;
            }
            if (found === place) place = place.nextSibling;
            else old.insertBefore(found, place);
            become(found, next);
        }
        while (place) {
            const gone = place;
            place = place.nextSibling;
            gone.remove();
        }
    };

    const dialogs = (fresh) => {
        const now = new Map([...fresh.querySelectorAll("dialog[id^='dialog-']")].map((dialog) => [dialog.id, dialog]));
        const page = document.getElementById("sh-page");
        if (!page) return;
        for (const dialog of document.querySelectorAll("dialog[id^='dialog-']")) {
            if (now.has(dialog.id)) continue;
            if (!dialog.open) dialog.remove();
            else if (!dialog.querySelector(".sh-overtaken")) dialog.querySelector(".sh-dialog-acts").before(overtaken());
        }
        for (const [id, dialog] of now) if (!document.getElementById(id)) page.after(dialog);
    };
    const overtaken = () => {
        const word = document.createElement("p");
        word.className = "sh-overtaken";
        word.setAttribute("role", "alert");
        word.textContent = "It has changed while you were writing, and this cannot be done any more. The page behind says how it stands.";
        return word;
    };

    // What is in sight stays where it is, unless one is at the top, where what is new appears.
    const place = () => {
        const all = scrollY ? [...document.querySelectorAll("#result_list tbody, #sh-page > *, #sh-page .sh-main > *")] : [];
        const seen = all.map((node) => [node, node.getBoundingClientRect()]).filter(([, { top, bottom }]) => bottom > 0 && top < innerHeight);
        return () => {
            const still = seen.find(([node]) => node.isConnected);
            if (still) scrollBy(0, still[0].getBoundingClientRect().top - still[1].top);
        };
    };

    const take = (fresh) => {
        selfheal.arrive(fresh);
        const back = place();
        const at = document.activeElement;
        const again = at?.id ? `[id="${CSS.escape(at.id)}"]` : at?.getAttribute("href") && `[href="${CSS.escape(at.getAttribute("href"))}"]`;
        const table = document.getElementById("result_list") && fresh.getElementById("result_list");
        for (const id of ["sh-state", "sh-page", table ? "result_list" : "sh-list"]) {
            const [old, next] = [document.getElementById(id), fresh.getElementById(id)];
            if (old && next) become(old, next);
        }
        dialogs(fresh);
        if (again && document.activeElement !== at) document.querySelector(again)?.focus({ preventScroll: true });
        selfheal.relative();
        back();
        document.dispatchEvent(new Event("selfheal:fresh"));
    };

    const ask = async () => {
        clearTimeout(timer);
        if (!part() || document.hidden) return;
        try {
            const headers = { "X-Live": "1", ...(stamp && { "If-None-Match": stamp }) };
            const answer = await fetch(location.href, { headers, cache: "no-store", redirect: "manual", credentials: "same-origin" });
            if (answer.type === "opaqueredirect" || answer.status === 403) {
                say("You are signed out: reload the page.", true);
                return;
            }
            if (answer.status === 200) {
                take(new DOMParser().parseFromString(await answer.text(), "text/html"));
                stamp = answer.headers.get("ETag") ?? "";
            }
            if (!answer.headers.has("X-Live")) throw new Error(`status ${answer.status}`);
            told = answer.headers.get("X-Live");
            say(`updated ${told}`);
        } catch {
            say(`not updated${told && ` since ${told}`}: the server does not answer`, true);
        }
        next();
    };

    const next = () => {
        const live = part();
        if (live) timer = setTimeout(ask, Number(live.dataset.live) * 1000);
    };
    document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
    next();
})();
