// Hands the microphone's samples to the page; runs in the browser's audio thread.

class Recorder extends AudioWorkletProcessor {
  process([channels]) {
    if (channels[0]) this.port.postMessage(channels[0].slice());
    return true;
  }
}

registerProcessor("recorder", Recorder);
