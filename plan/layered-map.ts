/** Names of a scope over those of the scopes around it, without a copy of them: a file may have thousands of loops. */

/** A map whose own entries hide those of `outer` with the same key. Its own come first when it is read through. */
export class LayeredMap<Key, Value> extends Map<Key, Value> {
  readonly #outer: ReadonlyMap<Key, Value>;

  constructor(outer: ReadonlyMap<Key, Value>, own: Iterable<readonly [Key, Value]> = []) {
    super(own);
    this.#outer = outer;
  }

  override get(key: Key): Value | undefined {
    return super.has(key) ? super.get(key) : this.#outer.get(key);
  }

  override has(key: Key): boolean {
    return super.has(key) || this.#outer.has(key);
  }

  override get size(): number {
    return [...this.entries()].length;
  }

  override *entries(): MapIterator<[Key, Value]> {
    yield* super.entries();
    for (const entry of this.#outer) if (!super.has(entry[0])) yield entry as [Key, Value];
  }

  override *keys(): MapIterator<Key> {
    for (const [key] of this.entries()) yield key;
  }

  override *values(): MapIterator<Value> {
    for (const [, value] of this.entries()) yield value;
  }

  override [Symbol.iterator](): MapIterator<[Key, Value]> {
    return this.entries();
  }

  override forEach(each: (value: Value, key: Key, map: Map<Key, Value>) => void): void {
    for (const [key, value] of this.entries()) each(value, key, this);
  }
}
