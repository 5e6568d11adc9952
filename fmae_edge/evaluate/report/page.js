"use strict";
// The map: show the image nearest to the pointer, or at the rank of the slider, next to its reconstruction.
(() => {
  const { map } = JSON.parse(document.getElementById("figures").textContent);
  if (!map) return;
  const find = (id) => document.getElementById(id);
  const [plane, mark, rank, said, originals] = ["plane", "mark", "rank", "said", "originals"].map(find);
  const columns = Number(originals.dataset.columns);
  const level = (index) => map.psnr[index] ?? Infinity; // the PSNR of an exact reconstruction is infinite
  const order = map.x.map((_, index) => index).sort((a, b) => (level(a) === level(b) ? a - b : level(a) - level(b)));
  const rankOf = new Array(order.length);
  order.forEach((index, at) => { rankOf[index] = at; });

  const draw = (canvas, atlas, index) => {
    const { width, height } = canvas;
    const pen = canvas.getContext("2d");
    pen.drawImage(atlas, (index % columns) * width, Math.floor(index / columns) * height, width, height, 0, 0, width, height);
  };
  const show = (index) => {
    draw(find("original"), originals, index);
    draw(find("decoded"), find("reconstructions"), index);
    mark.style.left = `${map.x[index] * 100}%`;
    mark.style.top = `${map.y[index] * 100}%`;
    mark.hidden = false;
    rank.value = rankOf[index];
    const psnr = map.psnr[index] === null ? "exact" : `${map.psnr[index].toFixed(2)} dB`;
    const bytes = map.bytes ? `, ${map.bytes[index]} bytes` : "";
    said.textContent = `Test image ${index}: ${psnr}${bytes}; rank ${rankOf[index] + 1} of ${order.length} from the worst.`;
    rank.setAttribute("aria-valuetext", said.textContent);
  };
  const nearest = (x, y) => {
    let found = 0;
    let least = Infinity;
    for (let index = 0; index < map.x.length; index += 1) {
      const distance = (map.x[index] - x) ** 2 + (map.y[index] - y) ** 2;
      if (distance < least) [found, least] = [index, distance];
    }
    return found;
  };
  const point = (event) => {
    const box = plane.getBoundingClientRect();
    show(nearest((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height));
  };
  plane.addEventListener("pointermove", point);
  plane.addEventListener("pointerdown", point);
  rank.addEventListener("input", () => show(order[rank.value]));
  Promise.all([originals, find("reconstructions")].map((atlas) => atlas.decode())).then(() => {
    find("detail").hidden = find("hint").hidden = false;
    show(order[rank.value]);
  });
})();
