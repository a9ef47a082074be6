// Bytes of files: base64 in both alphabets, media types by content, sizes for people.

const SIGNATURES = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
  ["application/pdf", [0x25, 0x50, 0x44, 0x46]],
  ["audio/flac", [0x66, 0x4c, 0x61, 0x43]],
  ["audio/ogg", [0x4f, 0x67, 0x67, 0x53]],
  ["audio/mpeg", [0x49, 0x44, 0x33]],
  ["video/webm", [0x1a, 0x45, 0xdf, 0xa3]],
  ["model/gltf-binary", [0x67, 0x6c, 0x54, 0x46]],
];
const LOOKS_LIKE_BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;

/** Decode base64, standard or URL-safe, with or without a `data:` prefix. */
export function toBytes(text) {
  const plain = text.replace(/^data:[^,]*,/, "").replaceAll("-", "+").replaceAll("_", "/");
  return Uint8Array.from(atob(plain), (letter) => letter.charCodeAt(0));
}

/** Encode bytes as standard base64. */
export function toBase64(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 32768) {
    parts.push(String.fromCharCode(...bytes.subarray(at, at + 32768)));
  }
  return btoa(parts.join(""));
}

/** Return the media type that the first bytes show, or `fallback`. */
export function sniff(bytes, fallback = "application/octet-stream") {
  const found = SIGNATURES.find(([, signature]) => signature.every((byte, place) => bytes[place] === byte));
  if (found) return found[0];
  const text = String.fromCharCode(...bytes.subarray(0, 12));
  if (text.startsWith("RIFF")) {
    return { WEBP: "image/webp", WAVE: "audio/wav", "AVI ": "video/x-msvideo" }[text.slice(8)] ?? fallback;
  }
  return text.slice(4, 8) === "ftyp" ? "video/mp4" : fallback;
}

/** Return the media type of a base64 text that is a picture, sound, video or PDF; else null. */
export function mediaTypeOf(text) {
  if (typeof text !== "string" || text.length < 60) return null;
  const head = text.replace(/^data:[^,]*,/, "").slice(0, 64);
  if (!LOOKS_LIKE_BASE64.test(head)) return null;
  try {
    return sniff(toBytes(head.slice(0, 32)), null);
  } catch {
    return null;
  }
}

/** Return an address for bytes; revoke it when it is not shown any more. */
export function objectUrl(bytes, type = sniff(bytes)) {
  return URL.createObjectURL(new Blob([bytes], { type }));
}

export function sizeText(count) {
  if (count < 1000) return `${count} bytes`;
  return count < 1_000_000 ? `${Math.round(count / 1000)} kB` : `${(count / 1_000_000).toFixed(1)} MB`;
}

/** Return a copy of a value for people to read: long texts, such as pictures, become their size. */
export function shortened(value, longest = 200) {
  if (typeof value === "string" && value.length > longest && LOOKS_LIKE_BASE64.test(value.slice(0, 100).replace(/^data:[^,]*,/, ""))) {
    return `${value.slice(0, 24)}... (${sizeText(Math.round(value.length * 0.75))} as base64)`;
  }
  if (Array.isArray(value)) return value.map((each) => shortened(each, longest));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shortened(each, longest)]));
  }
  return value;
}

/** Return the bytes of a file. */
export async function readFile(file) {
  return new Uint8Array(await file.arrayBuffer());
}
