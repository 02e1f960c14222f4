/* What Grafana's own libraries make of panels: reads cases (a panel of a board, the frames that its queries answer) from standard
   input, and prints for each one the fields after transformations and overrides, with text and colour of every value, the links of the
   cells, and what panels of single values show. The first argument is the folder with node_modules. */
"use strict";
require("./page.cjs");
const path = require("node:path");
const data = require(path.join(process.argv[2], "node_modules", "@grafana/data"));

const theme = data.createTheme();
const ZONE = "Asia/Ho_Chi_Minh";
const PROCESSORS = {
  unit: data.unitOverrideProcessor, decimals: data.numberOverrideProcessor, min: data.numberOverrideProcessor,
  max: data.numberOverrideProcessor, displayName: data.displayNameOverrideProcessor, mappings: data.valueMappingsOverrideProcessor,
  thresholds: data.thresholdsOverrideProcessor, noValue: data.stringOverrideProcessor, color: data.identityOverrideProcessor,
  links: data.dataLinksOverrideProcessor,
};

const TRANSFORMERS = new Map(Object.values(data.standardTransformers).map(one => [one.id, {id: one.id, name: one.name, transformation: one}]));
data.standardTransformersRegistry.setInit(() => [...TRANSFORMERS.values()]);
data.standardFieldConfigEditorRegistry.setInit(() => Object.keys(PROCESSORS).map(id => item(id, id, PROCESSORS[id], false)));

function item(id, itsPath, process, isCustom) {
  return {id, path: itsPath, name: id, isCustom, process, shouldApply: () => true, settings: {}, editor: () => null, override: () => null};
}

/* Every option of its own kind that a panel uses is known; Grafana would know those of the panel's plugin. */
function registryOf(panel) {
  const registry = data.createFieldConfigRegistry({}, panel.type);
  const used = (panel.fieldConfig.overrides || []).flatMap(one => one.properties.map(property => property.id));
  for (const id of new Set([...used, ...Object.keys(panel.fieldConfig.defaults.custom || {}).map(name => "custom." + name)])) {
    if (!id.startsWith("custom.")) { if (!PROCESSORS[id]) throw new Error("unknown option " + id); continue; }
    registry.register(item(id, id.slice(7), data.identityOverrideProcessor, true));
  }
  return registry;
}

const hex = color => (color || "").replace(/^rgb\((\d+), (\d+), (\d+)\)$/, (_, ...parts) => "#" + parts.slice(0, 3).map(part => Number(part).toString(16).padStart(2, "0")).join(""));
const shown = display => ({text: data.formattedValueToString(display), color: hex(display.color)});
const cut = (text, variables) => text.replace(/\$\{([^}]+)\}/g, (all, name) => variables(name) ?? all);

async function evaluate({panel, frames}) {
  const made = frames.map(frame => data.toDataFrame(frame));
  let series = await new Promise(resolve => data.transformDataFrame(panel.transformations || [], made).subscribe(resolve));
  series = data.applyFieldOverrides({
    data: series, fieldConfig: panel.fieldConfig, replaceVariables: text => text, theme, timeZone: ZONE, fieldConfigRegistry: registryOf(panel),
  });
  const fields = series.map(frame => frame.fields.map(field => ({
    name: field.name, title: data.getFieldDisplayName(field, frame, series), type: field.type, custom: field.config.custom,
    cells: Array.from(field.values, value => shown(field.display(value))),
    links: (field.config.links || []).map(link => Array.from(field.values, (value, row) => cut(link.url, name => {
      const column = /^__data\.fields\["(.+)"\]$/.exec(name);
      if (column) return String((data.getFieldDisplayValuesProxy({frame, rowIndex: row})[column[1]] || {}).text);
      return name === "__value.raw" ? String(value) : null;
    }))),
  })));
  const values = ["stat", "bargauge"].includes(panel.type) ? data.getFieldDisplayValues({
    fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, data: series, replaceVariables: text => text, theme, timeZone: ZONE,
  }).map(one => ({title: one.display.title, ...shown(one.display)})) : [];
  const nothing = shown(data.getDisplayProcessor({field: {type: "number", config: panel.fieldConfig.defaults}, theme, timeZone: ZONE})(null));
  return {fields, values, nothing};
}

/* The colour of a value for which thresholds name this one. */
function colorOf(name) {
  const config = {color: {mode: "thresholds"}, thresholds: {mode: "absolute", steps: [{value: -Infinity, color: name}]}};
  return hex(data.getDisplayProcessor({field: {type: "number", config}, theme, timeZone: ZONE})(0).color);
}

let text = "";
process.stdin.on("data", part => { text += part; }).on("end", async () => {
  const colors = {};
  for (const name of ["green", "yellow", "orange", "red", "dark-red", "blue", "text", "#808080"]) colors[name] = colorOf(name);
  const found = [];
  for (const one of JSON.parse(text)) found.push(await evaluate(one));
  process.stdout.write(JSON.stringify({colors, found}));
});
