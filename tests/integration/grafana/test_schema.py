"""The boards are what Grafana's published schema says, checked by the TypeScript compiler."""

from __future__ import annotations

import json
import subprocess

from dashboards.grafana.generate import boards
from deploy.native.programs import grafana_libraries, node_binary

#: Types of each kind of panel, below the folder of the schema.
PANELS = ("bargauge", "stat", "statetimeline", "table", "timeseries")
#: Enumerations are written as their texts. The fields of an annotation besides those of the schema are those of the Prometheus
#: data source (its annotation support reads ``target``, ``titleFormat``, ``textFormat``, ``tagKeys``).
TYPES = """
import type { Dashboard, AnnotationQuery, Panel } from '@grafana/schema';
%s
type Written<T> = T extends string ? `${T}` : T extends (infer U)[] ? Written<U>[] :
  T extends object ? {[K in keyof T]: Written<T[K]>} : T;
type Source = NonNullable<Panel['fieldConfig']>;
type Annotation = Written<Omit<AnnotationQuery, 'target'>> & {
  target: {expr: string, interval: string, refId: string}, titleFormat: string, textFormat: string, tagKeys: string};
type Of<Type, Options, Custom> = Written<Omit<Panel, 'options' | 'fieldConfig' | 'type'>> & {
  type: Type, options: Partial<Written<Options>>,
  fieldConfig: {
    defaults: Written<Omit<Source['defaults'], 'custom'>> & {custom?: Partial<Written<Custom>>},
    overrides: Written<Source['overrides']>}};
export type Board = Written<Omit<Dashboard, 'annotations' | 'panels'>> & {annotations: {list: Annotation[]}, panels: (%s)[]};
"""


def compiled(folder, texts):
    """What the compiler says about boards: file -> lines."""
    libraries = grafana_libraries()
    schema = libraries / "node_modules" / "@grafana" / "schema" / "dist" / "types"
    imports = "\n".join(f"import type * as {kind} from '@panels/{kind}/panelcfg/x/types.gen';" for kind in PANELS)
    kinds = " | ".join(f"Of<'{kind.replace('statet', 'state-t')}', {kind}.Options, {kind}.FieldConfig>" for kind in PANELS)
    kinds = kinds.replace("bargauge.FieldConfig", "{}").replace("stat.FieldConfig", "{}").replace("table.FieldConfig", "object")
    (folder / "types.ts").write_text(TYPES % (imports, kinds))
    for name, text in texts.items():
        (folder / f"{name}.ts").write_text(f"import type {{ Board }} from './types';\nexport const board: Board = {text};\n")
    options = {
        "strict": True,
        "noEmit": True,
        "skipLibCheck": True,
        "types": [],
        "target": "es2022",
        "module": "esnext",
        "moduleResolution": "bundler",
        "paths": {
            "@grafana/schema": [str(schema / "index.d.ts")],
            "@panels/*": [str(schema / "raw" / "composable" / "*")],
        },
    }
    names = [f"{name}.ts" for name in texts]
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": names}))
    compiler = libraries / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        [node_binary(), compiler, "-p", folder, "--pretty", "false"],
        capture_output=True, text=True, timeout=120, check=False, cwd=folder,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert done.returncode == 0 or lines, done.stderr
    return {name: [line for line in lines if line.startswith(f"{name}.ts")] for name in ("types", *texts)}


def test_boards_follow_the_published_schema(tmp_path):
    """No board has a field that Grafana does not know or a value of another type; a misspelt one is noticed (the control)."""
    made = boards()
    texts = {board["uid"].removeprefix("portalpulse-"): json.dumps(board, ensure_ascii=False, indent=1) for board in made}
    small = json.dumps(made[1] | {"panels": made[1]["panels"][:4]}, ensure_ascii=False, indent=1)
    spoilt = {
        "unknown_field": small.replace('"weekStart"', '"weekBegin"'),
        "wrong_value": small.replace('"mode": "thresholds"', '"mode": "traffic light"', 1),
        "wrong_option": small.replace('"graphMode"', '"graphModus"', 1),
        "wrong_panel": small.replace('"type": "stat"', '"type": "statistics"', 1),
    }
    assert all(text != small for text in spoilt.values())
    said = compiled(tmp_path, texts | spoilt)
    assert {name: said[name] for name in ("types", *texts)} == {name: [] for name in ("types", *texts)}
    assert all(said[name] for name in spoilt), said
