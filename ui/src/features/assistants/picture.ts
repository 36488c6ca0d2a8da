const SIDE = 128;

/** The middle square of a picture, small enough to be kept with its assistant, as a data URL. */
export async function smallPicture(file: File): Promise<string> {
  const image = await createImageBitmap(file);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const side = Math.min(image.width, image.height);
  canvas
    .getContext("2d")
    ?.drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, SIDE, SIDE);
  image.close();
  return canvas.toDataURL("image/webp", 0.85);
}
