// The camera: one picture for a form, or a stream of frames.

import { button, h } from "./dom.js";

export function cameraAvailable() {
  return Boolean(navigator.mediaDevices?.getUserMedia);
}

/** Return a playing video element of the camera, and a function that turns the camera off. */
export async function openCamera() {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  const video = h("video", { muted: true, playsInline: true, "aria-label": "The camera's picture" });
  video.srcObject = stream;
  await video.play();
  return { video, close: () => stream.getTracks().forEach((track) => track.stop()) };
}

/** Return the video's current frame as a JPEG. */
export async function frameOf(video, longest = 1280) {
  const scale = Math.min(1, longest / Math.max(video.videoWidth, video.videoHeight));
  const canvas = new OffscreenCanvas(Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
}

/** Ask for one picture in a dialog; return it, or null if the visitor closes the dialog. */
export async function takePicture(say) {
  let camera;
  try {
    camera = await openCamera();
  } catch {
    say("the camera cannot be used: allow it in the browser, or choose a file");
    return null;
  }
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-label": "Camera" }, camera.video,
      h("div", { class: "buttons" },
        button("Take the picture", async () => { const taken = await frameOf(camera.video); finish(taken); }, { class: "primary" }),
        button("Cancel", () => finish(null))));
    function finish(taken) {
      camera.close();
      dialog.remove();
      resolve(taken);
    }
    dialog.addEventListener("cancel", () => finish(null));
    document.body.append(dialog);
    dialog.showModal();
  });
}
