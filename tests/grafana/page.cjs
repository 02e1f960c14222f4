/* The libraries expect a page. This one is not there: each property of it is itself, and each call returns it. */
"use strict";
const nothing = new Proxy(function () {}, {
  get: (_, name) => {
    if (name === Symbol.toPrimitive) return () => "";
    if (name === Symbol.iterator) return [][Symbol.iterator].bind([]);
    return name === "length" ? 0 : nothing;
  },
  apply: () => nothing,
  construct: () => nothing,
  set: () => true,
});
globalThis.window = globalThis;
for (const name of ["document", "localStorage", "location", "history"]) Object.defineProperty(globalThis, name, {value: nothing, configurable: true});
Object.defineProperty(globalThis, "navigator", {value: {language: "vi-VN", languages: ["vi-VN"]}, configurable: true});
globalThis.addEventListener = () => {};
console.error = console.warn = console.info = console.log = () => {};
