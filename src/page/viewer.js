/* viewer.js - the part of a turn, turned by hand: reads the GLB in the page, draws it with WebGL.
 *
 * Lengths in mm, Z up, as the part was made; orthographic, so that what is parallel stays parallel.
 * The GLB is the one that CADForge writes (engine/glb.h): triangles, no transforms, no textures.
 * Nothing is fetched, nothing is kept. */
"use strict";

const CREASE = Math.cos(30 * Math.PI / 180); /* a sharper bend than this is an edge */
const FAN_MAX = 256; /* triangles about a corner; with more it is the tip of a cone or the middle of a disc */
const EDGES_MAX = 150000; /* triangles; above it faces are flat and no edges are looked for */

function glbTriangles(bytes) {
	const view = new DataView(bytes.buffer);
	if (bytes.length < 20 || view.getUint32(0, true) !== 0x46546c67)
		throw new Error("no GLB");
	const jsonLength = view.getUint32(12, true);
	const doc = JSON.parse(new TextDecoder().decode(bytes.subarray(20, 20 + jsonLength)));
	const binAt = 20 + jsonLength + 8;
	const place = (index) => {
		const a = doc.accessors[index], v = doc.bufferViews[a.bufferView];
		return { n: a.count, kind: a.componentType, at: binAt + (v.byteOffset || 0) + (a.byteOffset || 0),
			stride: v.byteStride };
	};
	const corners = [];
	let all = 0;
	for (const mesh of doc.meshes)
		for (const p of mesh.primitives) {
			if ((p.mode === undefined ? 4 : p.mode) !== 4)
				continue;
			const pos = place(p.attributes.POSITION), step = pos.stride || 12;
			const index = p.indices === undefined ? null : place(p.indices);
			const n = index ? index.n : pos.n, out = new Float32Array(3 * n);
			for (let i = 0; i < n; i++) {
				const k = !index ? i : index.kind === 5125 ? view.getUint32(index.at + 4 * i, true)
					: index.kind === 5123 ? view.getUint16(index.at + 2 * i, true) : bytes[index.at + i];
				const at = pos.at + step * k;
				/* metres, Y up */
				out[3 * i] = 1000 * view.getFloat32(at, true);
				out[3 * i + 1] = -1000 * view.getFloat32(at + 8, true);
				out[3 * i + 2] = 1000 * view.getFloat32(at + 4, true);
			}
			corners.push(out);
			all += out.length;
		}
	const xyz = new Float32Array(all);
	let at = 0;
	for (const c of corners) {
		xyz.set(c, at);
		at += c.length;
	}
	return xyz;
}

/* What is drawn: corners about the middle of the box, normals that are smooth within a surface, and
 * the edges between surfaces. */
function makePart(xyz) {
	const n = xyz.length / 3, lo = [Infinity, Infinity, Infinity], hi = [-Infinity, -Infinity, -Infinity];
	for (let i = 0; i < xyz.length; i++) {
		lo[i % 3] = Math.min(lo[i % 3], xyz[i]);
		hi[i % 3] = Math.max(hi[i % 3], xyz[i]);
	}
	const size = hi.map((v, k) => v - lo[k]), longest = Math.max(...size, 1e-9);
	for (let i = 0; i < xyz.length; i++)
		xyz[i] -= (lo[i % 3] + hi[i % 3]) / 2;
	const tris = n / 3, face = new Float32Array(3 * tris), normal = new Float32Array(3 * n);
	const area = new Float32Array(tris);
	for (let t = 0; t < tris; t++) {
		const a = 9 * t;
		const ux = xyz[a + 3] - xyz[a], uy = xyz[a + 4] - xyz[a + 1], uz = xyz[a + 5] - xyz[a + 2];
		const vx = xyz[a + 6] - xyz[a], vy = xyz[a + 7] - xyz[a + 1], vz = xyz[a + 8] - xyz[a + 2];
		const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
		const l = Math.sqrt(x * x + y * y + z * z);
		area[t] = l;
		if (l > 0)
			face.set([x / l, y / l, z / l], 3 * t);
		for (let c = 0; c < 3; c++)
			normal.set(face.subarray(3 * t, 3 * t + 3), a + 3 * c);
	}
	const part = { n, xyz, normal, edges: new Float32Array(0), size, radius: Math.hypot(...size) / 2 || 1 };
	if (tris > EDGES_MAX)
		return part;
	/* corners at the same place are one vertex */
	const grid = 131070 / longest, ids = new Map(), vertex = new Uint32Array(n);
	for (let i = 0; i < n; i++) {
		let key = 0;
		for (let k = 0; k < 3; k++)
			key = key * 131072 + Math.round(xyz[3 * i + k] * grid) + 65536;
		let id = ids.get(key);
		if (id === undefined)
			ids.set(key, id = ids.size);
		vertex[i] = id;
	}
	const first = new Uint32Array(ids.size + 1), around = new Uint32Array(n);
	for (let i = 0; i < n; i++)
		first[vertex[i] + 1]++;
	for (let i = 0; i < ids.size; i++)
		first[i + 1] += first[i];
	const fill = first.slice();
	for (let i = 0; i < n; i++)
		around[fill[vertex[i]]++] = i / 3 | 0;
	const dot = (a, b) => face[3 * a] * face[3 * b] + face[3 * a + 1] * face[3 * b + 1] + face[3 * a + 2] * face[3 * b + 2];
	for (let i = 0; i < n; i++) {
		const t = i / 3 | 0, from = first[vertex[i]], to = first[vertex[i] + 1];
		let x = 0, y = 0, z = 0;
		if (to - from > FAN_MAX)
			continue;
		for (let j = from; j < to; j++) {
			const o = around[j];
			if (dot(t, o) > CREASE) {
				x += area[o] * face[3 * o];
				y += area[o] * face[3 * o + 1];
				z += area[o] * face[3 * o + 2];
			}
		}
		const l = Math.sqrt(x * x + y * y + z * z);
		if (l > 0) {
			normal[3 * i] = x / l;
			normal[3 * i + 1] = y / l;
			normal[3 * i + 2] = z / l;
		}
	}
	/* of each pair of vertices the corner that an edge began at, until its other side was met */
	const seen = new Map(), lines = [];
	const next = (i) => 3 * (i / 3 | 0) + (i + 1) % 3;
	const line = (i) => {
		for (const c of [i, next(i)])
			lines.push(xyz[3 * c], xyz[3 * c + 1], xyz[3 * c + 2]);
	};
	for (let i = 0; i < n; i++) {
		const a = vertex[i], b = vertex[next(i)];
		if (a === b || !area[i / 3 | 0])
			continue;
		const key = a < b ? a * ids.size + b : b * ids.size + a, other = seen.get(key);
		if (other === undefined) {
			seen.set(key, i);
		} else if (other >= 0) {
			if (dot(i / 3 | 0, other / 3 | 0) < CREASE)
				line(i);
			seen.set(key, -1);
		}
	}
	for (const other of seen.values()) /* where a surface ends */
		if (other >= 0)
			line(other);
	part.edges = new Float32Array(lines);
	return part;
}

const VERTEX = `attribute vec3 at; attribute vec3 normal; uniform mat4 to; uniform mat3 turn; varying vec3 n;
void main() { n = turn * normal; gl_Position = to * vec4(at, 1.0); }`;
/* a lamp over the left shoulder, one from below on the right, and light from all around */
const SURFACE = `precision mediump float; varying vec3 n; uniform vec3 colour;
void main() {
	vec3 m = normalize(n);
	if (m.z < 0.0) m = -m;
	float key = max(dot(m, vec3(-0.36, 0.62, 0.70)), 0.0), fill = max(dot(m, vec3(0.80, -0.20, 0.56)), 0.0);
	gl_FragColor = vec4(colour * (0.56 + 0.42 * key + 0.12 * fill), 1.0);
}`;
const LINE = `precision mediump float; varying vec3 n; uniform vec3 colour;
void main() { gl_FragColor = vec4(colour + 0.0 * n, 1.0); }`;

class Viewer {
	/* @canvas gets the part; @axes is an SVG with the lines and letters x, y, z; @failed is called
	 * when it cannot draw any more. Throws where there is no WebGL. */
	constructor(canvas, axes, failed) {
		this.canvas = canvas;
		this.axes = axes;
		this.edges = true;
		this.part = null;
		this.start();
		this.reset();
		this.listen();
		canvas.addEventListener("webglcontextlost", (ev) => {
			ev.preventDefault();
			this.lost = true;
		});
		canvas.addEventListener("webglcontextrestored", () => {
			this.lost = false;
			try {
				this.start();
				this.upload();
			} catch (e) {
				failed();
			}
		});
		new ResizeObserver(() => this.draw()).observe(canvas);
	}

	start() {
		const gl = this.canvas.getContext("webgl", { antialias: true, alpha: true, preserveDrawingBuffer: true });
		if (!gl)
			throw new Error("no WebGL");
		const program = (fragment) => {
			const p = gl.createProgram();
			for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
				const s = gl.createShader(kind);
				gl.shaderSource(s, text);
				gl.compileShader(s);
				gl.attachShader(p, s);
			}
			gl.bindAttribLocation(p, 0, "at");
			gl.bindAttribLocation(p, 1, "normal");
			gl.linkProgram(p);
			if (!gl.getProgramParameter(p, gl.LINK_STATUS))
				throw new Error("no shaders");
			return { p, to: gl.getUniformLocation(p, "to"), turn: gl.getUniformLocation(p, "turn"),
				colour: gl.getUniformLocation(p, "colour") };
		};
		this.gl = gl;
		this.surface = program(SURFACE);
		this.line = program(LINE);
		this.buffers = [gl.createBuffer(), gl.createBuffer(), gl.createBuffer()];
		gl.enable(gl.DEPTH_TEST);
		gl.clearColor(0, 0, 0, 0);
	}

	show(part) {
		this.part = part;
		this.upload();
	}

	upload() {
		const gl = this.gl;
		if (!this.part)
			return;
		[this.part.xyz, this.part.normal, this.part.edges].forEach((data, i) => {
			gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[i]);
			gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
		});
		this.draw();
	}

	look(yaw, pitch) { /* degrees; 0, 0 is the front */
		this.yaw = yaw;
		this.pitch = pitch;
		this.pan = [0, 0];
		this.zoom = 1;
		this.draw();
	}

	reset() {
		this.look(38, 28);
	}

	turn(dyaw, dpitch) {
		this.yaw = (this.yaw + dyaw) % 360;
		this.pitch = Math.max(-90, Math.min(90, this.pitch + dpitch));
		this.draw();
	}

	scale(by) {
		this.zoom = Math.max(0.2, Math.min(40, this.zoom * by));
		this.draw();
	}

	draw() {
		if (this.waiting)
			return;
		this.waiting = true;
		requestAnimationFrame(() => {
			this.waiting = false;
			this.frame();
		});
	}

	frame() {
		const gl = this.gl, c = this.canvas, part = this.part, box = c.getBoundingClientRect();
		if (!part || this.lost || box.width < 1 || box.height < 1)
			return;
		/* at least two pixels for one: the browser draws them together, and edges are smooth */
		const ratio = Math.max(2, Math.min(window.devicePixelRatio || 1, 3));
		const w = Math.round(box.width * ratio), h = Math.round(box.height * ratio);
		if (c.width !== w || c.height !== h) {
			c.width = w;
			c.height = h;
		}
		const a = this.yaw * Math.PI / 180, b = this.pitch * Math.PI / 180;
		const right = [Math.cos(a), Math.sin(a), 0];
		const up = [-Math.sin(b) * Math.sin(a), Math.sin(b) * Math.cos(a), Math.cos(b)];
		const near = [Math.cos(b) * Math.sin(a), -Math.cos(b) * Math.cos(a), Math.sin(b)];
		const s = this.zoom * 0.96 / part.radius;
		const sx = s * Math.min(1, h / w), sy = s * Math.min(1, w / h), sz = -0.5 / part.radius;
		const to = new Float32Array(16);
		for (let k = 0; k < 3; k++) {
			to[4 * k] = sx * right[k];
			to[4 * k + 1] = sy * up[k];
			to[4 * k + 2] = sz * near[k];
		}
		to.set([2 * this.pan[0] / box.width, -2 * this.pan[1] / box.height, 0, 1], 12);
		const turn = new Float32Array([right[0], up[0], near[0], right[1], up[1], near[1], right[2], up[2], near[2]]);
		const style = getComputedStyle(c);
		gl.viewport(0, 0, w, h);
		gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
		const paint = (program, at, normal, colour, mode, n) => {
			gl.useProgram(program.p);
			gl.uniformMatrix4fv(program.to, false, to);
			gl.uniformMatrix3fv(program.turn, false, turn);
			gl.uniform3fv(program.colour, colourOf(style.getPropertyValue(colour)));
			gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[at]);
			gl.enableVertexAttribArray(0);
			gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
			gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[normal]);
			gl.enableVertexAttribArray(1);
			gl.vertexAttribPointer(1, 3, gl.FLOAT, false, 0, 0);
			gl.drawArrays(mode, 0, n);
		};
		gl.enable(gl.POLYGON_OFFSET_FILL);
		gl.polygonOffset(1, 2);
		paint(this.surface, 0, 1, "--part", gl.TRIANGLES, part.n);
		gl.disable(gl.POLYGON_OFFSET_FILL);
		if (this.edges && part.edges.length)
			paint(this.line, 2, 2, "--edge", gl.LINES, part.edges.length / 3);
		["x", "y", "z"].forEach((name, k) => {
			const x = 32 + 20 * right[k], y = 32 - 20 * up[k];
			const bar = this.axes.querySelector("." + name), letter = this.axes.querySelector(".l" + name);
			bar.setAttribute("x2", x);
			bar.setAttribute("y2", y);
			letter.setAttribute("x", 32 + 27 * right[k]);
			letter.setAttribute("y", 32 - 27 * up[k]);
		});
	}

	/* One pointer turns, two zoom and move; the wheel zooms once the view was clicked or focused,
	 * so that it does not catch who scrolls by. */
	listen() {
		const c = this.canvas, down = new Map();
		c.addEventListener("pointerdown", (ev) => {
			c.focus({ preventScroll: true });
			c.setPointerCapture(ev.pointerId);
			down.set(ev.pointerId, [ev.clientX, ev.clientY]);
			ev.preventDefault();
		});
		c.addEventListener("pointermove", (ev) => {
			const was = down.get(ev.pointerId);
			if (!was)
				return;
			const dx = ev.clientX - was[0], dy = ev.clientY - was[1];
			if (down.size === 2) {
				const other = [...down].find(([id]) => id !== ev.pointerId)[1];
				const before = Math.hypot(was[0] - other[0], was[1] - other[1]);
				const now = Math.hypot(ev.clientX - other[0], ev.clientY - other[1]);
				this.pan = [this.pan[0] + dx / 2, this.pan[1] + dy / 2];
				this.scale(before > 0 ? now / before : 1);
			} else if (ev.shiftKey || ev.buttons & 6) {
				this.pan = [this.pan[0] + dx, this.pan[1] + dy];
				this.draw();
			} else {
				this.turn(-0.5 * dx, 0.5 * dy);
			}
			down.set(ev.pointerId, [ev.clientX, ev.clientY]);
		});
		for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
			c.addEventListener(end, (ev) => down.delete(ev.pointerId));
		c.addEventListener("contextmenu", (ev) => ev.preventDefault());
		c.addEventListener("dblclick", () => this.reset());
		c.addEventListener("wheel", (ev) => {
			if (document.activeElement !== c && !ev.ctrlKey)
				return;
			ev.preventDefault();
			this.scale(Math.exp(-Math.max(-60, Math.min(60, ev.deltaY)) / 300));
		}, { passive: false });
		c.addEventListener("keydown", (ev) => {
			const keys = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };
			if (ev.ctrlKey || ev.altKey || ev.metaKey)
				return;
			if (keys[ev.key])
				this.turn(...keys[ev.key]);
			else if (ev.key === "+" || ev.key === "=")
				this.scale(1.2);
			else if (ev.key === "-")
				this.scale(1 / 1.2);
			else if (ev.key === "0")
				this.reset();
			else
				return;
			ev.preventDefault();
			ev.stopPropagation();
		});
	}
}

/* "#8fa3b8" as three shares */
function colourOf(text) {
	const v = parseInt(text.trim().slice(1), 16);
	return [(v >> 16 & 255) / 255, (v >> 8 & 255) / 255, (v & 255) / 255];
}
