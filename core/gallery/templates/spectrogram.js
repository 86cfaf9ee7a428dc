// Spectrograms of clips that have no picture yet, drawn as core.gallery.pictures does it: Hann, 1024 samples, 96 bands from 50 Hz, dB full scale.
const BANDS = 96, COLUMNS = 240, SIZE = 1024, LOW_DB = -90, HIGH_DB = -15;
const MAGMA = ["000004", "0b0924", "20114b", "3b0f70", "57157e", "721f81", "8c2981", "a8327d", "c43c75", "de4968", "f1605d", "fa7f5e", "fe9f6d", "febf84", "fddea0", "fcfdbf"]
  .map(text => [0, 2, 4].map(at => parseInt(text.slice(at, at + 2), 16)));
function transform(re, im) { // in place, radix 2
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
  }
  for (let length = 2; length <= n; length <<= 1) {
    const angle = -2 * Math.PI / length;
    for (let k = 0; k < length / 2; k++) {
      const c = Math.cos(angle * k), s = Math.sin(angle * k);
      for (let i = k; i < n; i += length) {
        const j = i + length / 2, x = re[j] * c - im[j] * s, y = re[j] * s + im[j] * c;
        re[j] = re[i] - x; im[j] = im[i] - y; re[i] += x; im[i] += y;
      }
    }
  }
}
function logSpectrogram(samples, rate) { // [bands][columns] in dB, low frequencies first
  const length = samples.length + Math.max(0, 2 * SIZE - samples.length), step = Math.max(64, Math.floor((length - SIZE) / COLUMNS));
  const hann = Float64Array.from({ length: SIZE }, (_, i) => .5 - .5 * Math.cos(2 * Math.PI * i / SIZE)), sum = hann.reduce((a, b) => a + b, 0);
  const edges = Array.from({ length: BANDS + 1 }, (_, i) => 50 * (rate / 2 / 50) ** (i / BANDS) / rate * SIZE);
  const rows = edges.slice(1).map(() => []);
  for (let start = 0; start + SIZE <= length; start += step) {
    const re = new Float64Array(SIZE), im = new Float64Array(SIZE);
    for (let i = 0; i < SIZE; i++) re[i] = (samples[start + i] ?? 0) * hann[i] / sum;
    transform(re, im);
    rows.forEach((row, band) => {
      let most = 1e-12;
      const from = Math.floor(edges[band]), to = Math.min(SIZE / 2 + 1, Math.max(from + 1, Math.ceil(edges[band + 1])));
      for (let bin = from; bin < to; bin++) most = Math.max(most, re[bin] ** 2 + im[bin] ** 2);
      row.push(10 * Math.log10(most));
    });
  }
  return rows;
}
function paint(canvas, levels) {
  canvas.width = levels[0].length; canvas.height = levels.length;
  const image = new ImageData(canvas.width, canvas.height);
  levels.forEach((row, band) => row.forEach((level, column) => {
    const share = Math.min(1, Math.max(0, (level - LOW_DB) / (HIGH_DB - LOW_DB))) * (MAGMA.length - 1), below = Math.min(MAGMA.length - 2, Math.floor(share));
    const at = 4 * ((levels.length - 1 - band) * canvas.width + column);
    for (let part = 0; part < 3; part++) image.data[at + part] = MAGMA[below][part] + (share - below) * (MAGMA[below + 1][part] - MAGMA[below][part]);
    image.data[at + 3] = 255;
  }));
  canvas.getContext("2d").putImageData(image, 0, 0);
}
async function spectrogram(address, rate) { // a page from a file may not read its neighbours, so this works from a server only
  const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await (await fetch(address)).arrayBuffer());
  const mixed = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) sound.getChannelData(channel).forEach((value, i) => { mixed[i] += value / sound.numberOfChannels; });
  return logSpectrogram(mixed, rate);
}
