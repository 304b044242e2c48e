/** The order of a scope's steps, and the circles that leave none. */

/** Edges: for each node the nodes it waits for, as indexes in file order. */
export type Edges = readonly ReadonlySet<number>[];

export interface Order {
  /** Every node after those it waits for, ties in file order. Nodes of a circle, and those behind it, are absent. */
  readonly sorted: readonly number[];
  /** One circle for each knot of nodes that wait for each other, in the order of waiting. */
  readonly cycles: readonly (readonly number[])[];
}

export function orderOf(edges: Edges): Order {
  const waiting = edges.map((needed) => needed.size);
  const dependents: number[][] = edges.map(() => []);
  edges.forEach((needed, node) => {
    for (const other of needed) dependents[other]!.push(node);
  });
  const ready: number[] = [];
  waiting.forEach((count, node) => {
    if (count === 0) pushHeap(ready, node);
  });
  const sorted: number[] = [];
  while (ready.length > 0) {
    const node = popHeap(ready);
    sorted.push(node);
    for (const dependent of dependents[node]!) {
      waiting[dependent] = waiting[dependent]! - 1;
      if (waiting[dependent] === 0) pushHeap(ready, dependent);
    }
  }
  return { sorted, cycles: sorted.length === edges.length ? [] : cyclesOf(edges, new Set(sorted)) };
}

/** All nodes from which the node can be reached by following what they wait for. */
export function dependentsOf(edges: Edges, node: number): ReadonlySet<number> {
  const dependents: number[][] = edges.map(() => []);
  edges.forEach((needed, other) => {
    for (const each of needed) dependents[each]!.push(other);
  });
  const found = new Set<number>();
  const open = [node];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const dependent of dependents[at]!) {
      if (!found.has(dependent)) {
        found.add(dependent);
        open.push(dependent);
      }
    }
  }
  return found;
}

/** Walks from each node along what it waits for until a node of the walk comes again. */
function cyclesOf(edges: Edges, sorted: ReadonlySet<number>): number[][] {
  const done = new Set(sorted);
  const cycles: number[][] = [];
  for (let start = 0; start < edges.length; start++) {
    const path: number[] = [];
    const places = new Map<number, number>();
    let at: number | undefined = start;
    while (at !== undefined && !done.has(at)) {
      const place = places.get(at);
      if (place !== undefined) {
        const cycle = path.slice(place);
        // From the first in the file, so that the message does not depend on where the walk began.
        const first = cycle.indexOf(Math.min(...cycle));
        cycles.push([...cycle.slice(first), ...cycle.slice(0, first)]);
        break;
      }
      places.set(at, path.length);
      path.push(at);
      at = [...edges[at]!].sort((a, b) => a - b).find((needed) => !sorted.has(needed) && !done.has(needed));
    }
    for (const node of path) done.add(node);
  }
  return cycles;
}

// A binary heap of file positions: the first in the file comes out first.
function pushHeap(heap: number[], node: number): void {
  heap.push(node);
  let at = heap.length - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= heap[at]!) return;
    [heap[parent], heap[at]] = [heap[at]!, heap[parent]!];
    at = parent;
  }
}

function popHeap(heap: number[]): number {
  const first = heap[0]!;
  const last = heap.pop()!;
  if (heap.length === 0) return first;
  heap[0] = last;
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    const right = left + 1;
    let least = at;
    if (left < heap.length && heap[left]! < heap[least]!) least = left;
    if (right < heap.length && heap[right]! < heap[least]!) least = right;
    if (least === at) return first;
    [heap[at], heap[least]] = [heap[least]!, heap[at]!];
    at = least;
  }
}
