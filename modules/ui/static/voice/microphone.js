// Records speech with the browser's microphone.

const RATE = 16_000;
/** Recordings end after so many seconds. */
export const LONGEST_SECONDS = 120;

/** Why the microphone cannot be used: `message` is a sentence for the person. */
export class MicrophoneError extends Error {}

const REASONS = {
  NotAllowedError: "This page may not use the microphone. Allow it in the address bar of the browser, then try again.",
  NotFoundError: "No microphone was found. Connect one, then try again.",
  NotReadableError: "The microphone is in use by another program. Close that program, then try again.",
};

/** Begin a recording. Return a function that ends it and resolves to a WAV file. Throws MicrophoneError. */
export async function startRecording() {
  if (!navigator.mediaDevices?.getUserMedia || !globalThis.MediaRecorder)
    throw new MicrophoneError(
      "This browser gives the page no microphone. It needs https://, or an address on this computer such as 127.0.0.1.",
    );
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true }).catch((error) => {
    throw new MicrophoneError(REASONS[error.name] ?? `The microphone cannot be used (${error.message}).`);
  });
  const recorder = new MediaRecorder(stream);
  const parts = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  const ended = new Promise((resolve) => recorder.addEventListener("stop", resolve, { once: true }));
  recorder.start();
  return async () => {
    if (recorder.state !== "inactive") recorder.stop();
    await ended;
    for (const track of stream.getTracks()) track.stop();
    return toWav(new Blob(parts, { type: recorder.mimeType }));
  };
}

/** Return a recording as WAV: one channel of 16-bit samples, 16,000 per second. */
async function toWav(recording) {
  const context = new OfflineAudioContext(1, 1, RATE);
  const sound = await context.decodeAudioData(await recording.arrayBuffer()).catch(() => null);
  if (!sound?.length) throw new MicrophoneError("Nothing was recorded. Speak after the button turns red.");
  const channels = Array.from({ length: sound.numberOfChannels }, (_, index) => sound.getChannelData(index));
  const samples = channels[0].map((_, at) => channels.reduce((sum, one) => sum + one[at], 0) / channels.length);
  return wavOf(samples);
}

/**
 * Return samples from -1 to 1 as a WAV file.
 * @param {Float32Array} samples
 */
export function wavOf(samples) {
  const view = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const text = (at, letters) => [...letters].forEach((one, index) => view.setUint8(at + index, one.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + samples.length * 2, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, RATE * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, samples.length * 2, true);
  samples.forEach((value, at) => view.setInt16(44 + at * 2, Math.max(-1, Math.min(1, value)) * 32_767, true));
  return new Blob([view], { type: "audio/wav" });
}
