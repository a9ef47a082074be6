// Reads JSON schemas: which kind of field this is, and what to call it.

const MEDIA = new Set(["image", "audio", "video", "blob", "state"]);
const DRAWN = new Set(["box", "point", "track", "mask"]);

/** Return a schema without references: `$ref`, single `allOf` and `anyOf` with null are opened. */
export function open(node, root) {
  let { nullable = false, ...found } = node;
  for (let depth = 0; depth < 20; depth += 1) {
    if (found.$ref) {
      const { $ref, ...own } = found;
      const target = $ref.replace(/^#\//, "").split("/").reduce((each, part) => each?.[part], root) ?? {};
      found = { ...target, ...own };
    } else if (found.allOf?.length === 1) {
      const { allOf, ...own } = found;
      found = { ...allOf[0], ...own };
    } else if (found.anyOf) {
      const { anyOf, ...own } = found;
      const rest = anyOf.filter((each) => each.type !== "null");
      nullable ||= rest.length < anyOf.length;
      if (rest.length !== 1) return { ...found, nullable };
      found = { ...rest[0], ...own };
    } else break;
  }
  return { ...found, nullable };
}

/** Return the kind of an opened field, which decides its input and how an answer shows it. */
export function kindOf(field, root) {
  const hint = field["x-slipway"]?.kind;
  if (hint && (MEDIA.has(hint) || DRAWN.has(hint))) return hint;
  if (isBytes(field)) return (field.contentMediaType ?? "").split("/")[0] === "image" ? "image" : "bytes";
  if (choicesOf(field)) return "choice";
  if (field.type === "integer" || field.type === "number" || field.type === "boolean") return field.type;
  if (field.type === "string") return isDate(field) ? "date" : "string";
  if (field.type === "array" && field.items) return `list-of-${listKind(open(field.items, root), root)}`;
  if (field.type === "object" && field.properties) return "record";
  if (field.type === "object" && typeof field.additionalProperties === "object") {
    return ["number", "integer"].includes(open(field.additionalProperties, root).type) ? "numbers-by-name" : "json";
  }
  return "json";
}

function listKind(item, root) {
  const kind = kindOf(item, root);
  if (["integer", "number"].includes(kind)) return "numbers";
  if (["string", "choice", "date"].includes(kind)) return "texts";
  return MEDIA.has(kind) || DRAWN.has(kind) || kind === "record" || kind === "bytes" ? kind : "json";
}

export function isBytes(field) {
  return field.type === "string" && (field.contentEncoding === "base64" || ["base64url", "base64", "binary"].includes(field.format));
}

/** Return the alternatives of an enum or of a pattern such as `^(a|b|c)$` or `^[abc]$`, else null. */
export function choicesOf(field) {
  if (Array.isArray(field.enum)) return field.enum;
  if (field.const !== undefined) return [field.const];
  if (field.type !== "string" || !field.pattern) return null;
  const letters = /^\^\[([A-Za-z0-9]+)\]\$$/.exec(field.pattern);
  if (letters) return [...letters[1]];
  const listed = /^\^\((?:\?:)?([^()]*)\)\$$/.exec(field.pattern);
  if (!listed) return null;
  const options = splitAlternatives(listed[1]);
  return options.some((each) => each === null) ? null : options;
}

/** Split at bars that are not escaped; an alternative that is no plain text becomes null. */
function splitAlternatives(text) {
  return text.split(/(?<!\\)\|/).map((each) => {
    const plain = each.replace(/\\([^A-Za-z0-9])/g, "");
    return /[.*+?^$[\]{}\\]/.test(plain) ? null : each.replace(/\\([^A-Za-z0-9])/g, "$1");
  });
}

function isDate(field) {
  return field.format === "date" || /^\^[0-9[\]\\d{}]+-\\d\{2\}-\\d\{2\}\$$/.test(field.pattern ?? "");
}

/** Return a field's name for people: `passenger_class` becomes "Passenger class". */
export function titleOf(name) {
  const words = String(name).replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Yield [name, opened field] of a record, in the order of the schema. */
export function* fieldsOf(record, root) {
  for (const [name, node] of Object.entries(record.properties ?? {})) yield [name, open(node, root)];
}

/** Return the limits of a number: inclusive bounds, or those that are exclusive. */
export function limitsOf(field) {
  return { low: field.minimum ?? field.exclusiveMinimum, high: field.maximum ?? field.exclusiveMaximum };
}

/** Describe the limits and the length that a field allows, in a few words. */
export function rulesOf(field) {
  const { low, high } = limitsOf(field);
  if (low !== undefined && high !== undefined) return `${low} to ${high}`;
  if (low !== undefined) return field.exclusiveMinimum !== undefined ? `more than ${low}` : `at least ${low}`;
  if (high !== undefined) return field.exclusiveMaximum !== undefined ? `less than ${high}` : `at most ${high}`;
  if (field.type === "array") {
    const { minItems, maxItems } = field;
    if (minItems !== undefined && minItems === maxItems) return `${minItems} values`;
    if (minItems && maxItems) return `${minItems} to ${maxItems} values`;
  }
  return "";
}
