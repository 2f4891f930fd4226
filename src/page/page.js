/* page.js - one turn at a time, the part in 3D, colours in the programs.
 *
 * The page is whole without it: it only hides, shows and colours what is there, and never makes
 * markup of text. */
"use strict";
(() => {
	const PARTS_KEPT = 8; /* of turns that were looked at, ready to be drawn */
	const root = document.documentElement, one = (q, from) => (from || document).querySelector(q);
	const turns = [...document.querySelectorAll("section.turn")];
	const links = [...document.querySelectorAll("nav.turns ol a")];
	const stage = one("#stage"), canvas = one("canvas", stage), say = one(".hint", stage);
	let at = -1, all = false, viewer = null, parts = new Map();

	root.classList.add("js");

	/* ---- the part ---- */

	function bytesOf(link) {
		const href = link.getAttribute("href"), text = atob(href.slice(href.indexOf(",") + 1));
		const bytes = new Uint8Array(text.length);
		for (let i = 0; i < text.length; i++)
			bytes[i] = text.charCodeAt(i);
		return bytes;
	}

	function noViewer() {
		viewer = null;
		stage.remove();
		root.classList.add("flat");
		for (const p of document.querySelectorAll(".noview"))
			p.hidden = false;
	}

	function showPart(section) {
		const link = document.getElementById(section.dataset.glb || "");
		if (!viewer && !root.classList.contains("flat")) {
			try {
				viewer = new Viewer(canvas, one("svg", stage), noViewer);
			} catch (e) {
				noViewer();
			}
		}
		if (!viewer)
			return;
		if (!link) {
			stage.remove();
			return;
		}
		one(".look", section).prepend(stage);
		canvas.setAttribute("aria-label", "The part of turn " + section.dataset.turn +
			" in 3D. Arrow keys turn it, plus and minus zoom, 0 resets.");
		if (!parts.has(link.id)) {
			if (parts.size >= PARTS_KEPT)
				parts.delete(parts.keys().next().value);
			try {
				parts.set(link.id, makePart(glbTriangles(bytesOf(link))));
			} catch (e) {
				parts.set(link.id, null);
			}
		}
		const part = parts.get(link.id);
		if (!part) {
			stage.remove();
			return;
		}
		viewer.show(part);
		stage.dataset.turn = section.dataset.turn;
	}

	const views = { front: [0, 0], right: [90, 0], top: [0, 90], iso: [45, 35.264] };
	stage.addEventListener("click", (ev) => {
		const b = ev.target.closest("button");
		if (!b || !viewer)
			return;
		if (views[b.dataset.view])
			viewer.look(...views[b.dataset.view]);
		else if (b.dataset.zoom)
			viewer.scale(Number(b.dataset.zoom));
		else if (b.dataset.do === "reset")
			viewer.reset();
		else if (b.dataset.do === "edges") {
			viewer.edges = !viewer.edges;
			b.setAttribute("aria-pressed", viewer.edges);
			viewer.draw();
		}
	});
	if (window.matchMedia("(pointer: coarse)").matches)
		say.textContent = "One finger turns it, two zoom.";

	/* a browser may refuse a long address, but not a file made here */
	document.addEventListener("click", (ev) => {
		const link = ev.target.closest("a.save");
		if (!link || link.dataset.made)
			return;
		ev.preventDefault();
		const url = URL.createObjectURL(new Blob([bytesOf(link)], { type: "model/gltf-binary" }));
		const a = document.createElement("a");
		a.href = url;
		a.download = link.download;
		a.dataset.made = "1";
		a.click();
		setTimeout(() => URL.revokeObjectURL(url), 10000);
	});

	/* ---- colours in programs ---- */

	const words = new Set(("False None True and as assert async await break class continue def del elif else except " +
		"finally for from global if import in is lambda nonlocal not or pass raise return try while with yield").split(" "));
	const token = /("""|'''|"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?)|(#.*)|\b(\d[\w.]*)|([A-Za-z_]\w*)/g;

	function colour(code) {
		let open = "", before = "";
		for (const line of code.children) {
			const text = line.textContent;
			const out = document.createDocumentFragment();
			let done = 0;
			const add = (to, kind) => {
				if (to <= done)
					return;
				const piece = text.slice(done, to);
				if (kind) {
					const s = document.createElement("span");
					s.className = kind;
					s.textContent = piece;
					out.append(s);
				} else {
					out.append(piece);
				}
				done = to;
			};
			if (text.length > 2000) /* nobody reads that by colours */
				continue;
			while (done < text.length) {
				if (open) {
					const end = text.indexOf(open, done);
					add(end < 0 ? text.length : end + 3, "s");
					open = end < 0 ? open : "";
					continue;
				}
				token.lastIndex = done;
				const m = token.exec(text);
				if (!m) {
					add(text.length);
				} else {
					add(m.index);
					const end = m.index + m[0].length;
					if (m[1] && m[1].length === 3 && (m[1] === '"""' || m[1] === "'''")) {
						open = m[1];
						add(end, "s");
					} else {
						add(end, m[1] ? "s" : m[2] ? "c" : m[3] ? "n" : words.has(m[4]) ? "k"
							: before === "def" || before === "class" ? "f" : "");
						before = m[4] || "";
					}
				}
			}
			line.replaceChildren(out);
		}
		code.dataset.coloured = "1";
	}

	/* ---- one turn at a time ---- */

	function show(i, scroll) {
		if (i < 0 || i >= turns.length)
			return;
		at = i;
		turns.forEach((s, k) => s.classList.toggle("here", k === i));
		links.forEach((a, k) => {
			if (k === i)
				a.setAttribute("aria-current", "true");
			else
				a.removeAttribute("aria-current");
		});
		const strip = one("nav.turns ol"), a = links[i];
		strip.scrollLeft = a.parentNode.offsetLeft - strip.offsetLeft - (strip.clientWidth - a.offsetWidth) / 2;
		one("#previous").disabled = i === 0;
		one("#next").disabled = i === turns.length - 1;
		for (const code of document.querySelectorAll(all ? "pre.python:not([data-coloured])" : ".here pre.python:not([data-coloured])"))
			colour(code);
		showPart(turns[i]);
		if (scroll) {
			history.replaceState(null, "", "#" + turns[i].id);
			const top = (all ? turns[i] : one("main")).getBoundingClientRect().top + window.scrollY;
			if (all || window.scrollY > top - one("nav.turns").offsetHeight)
				window.scrollTo(0, top - one("nav.turns").offsetHeight);
		}
	}

	function fromHash() {
		return turns.findIndex((s) => s.id === location.hash.slice(1));
	}

	one("#previous").addEventListener("click", () => show(at - 1, true));
	one("#next").addEventListener("click", () => show(at + 1, true));
	one("#all").addEventListener("click", (ev) => {
		all = !all;
		root.classList.toggle("all", all);
		ev.currentTarget.setAttribute("aria-pressed", all);
		show(at, true);
	});
	one("#theme").addEventListener("click", () => {
		const dark = root.dataset.theme ? root.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
		root.dataset.theme = dark ? "light" : "dark";
		if (viewer)
			viewer.draw();
	});
	window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => viewer && viewer.draw());
	document.addEventListener("click", (ev) => {
		const a = ev.target.closest('a[href^="#turn-"]');
		const i = a ? turns.findIndex((s) => "#" + s.id === a.getAttribute("href")) : -1;
		if (i < 0 || ev.ctrlKey || ev.metaKey || ev.shiftKey || ev.button)
			return;
		ev.preventDefault();
		show(i, true);
	});
	document.addEventListener("keydown", (ev) => {
		if (ev.ctrlKey || ev.altKey || ev.metaKey || ev.shiftKey || one("dialog").open)
			return;
		if (ev.key === "ArrowRight" || ev.key === "n")
			show(at + 1, true);
		else if (ev.key === "ArrowLeft" || ev.key === "p")
			show(at - 1, true);
		else
			return;
		ev.preventDefault();
	});
	window.addEventListener("hashchange", () => show(fromHash(), true));

	/* ---- pictures, large ---- */

	const large = one("dialog");
	for (const b of document.querySelectorAll(".pictures img")) {
		const open = () => {
			one("img", large).src = b.src;
			one("img", large).alt = b.alt;
			one("p", large).textContent = b.alt;
			large.showModal();
		};
		b.tabIndex = 0;
		b.setAttribute("role", "button");
		b.addEventListener("click", open);
		b.addEventListener("keydown", (ev) => {
			if (ev.key === "Enter" || ev.key === " ") {
				ev.preventDefault();
				open();
			}
		});
	}
	large.addEventListener("click", () => large.close());

	const best = turns.findIndex((s) => s.classList.contains("best"));
	show(fromHash() >= 0 ? fromHash() : best >= 0 ? best : 0, false);
})();
