// node page.mjs ORIGIN: runs the script of ORIGIN/docs with just enough of a document under it, and prints what it
// makes of it as JSON.

const origin = process.argv[2]
const page = await (await fetch(`${origin}/docs`)).text()
const script = page.split('<script>')[1].split('</script>')[0]

class Element {
  constructor() {
    this.attributes = {}
    this.children = []
  }
  setAttribute(name, value) { this.attributes[name] = value }
  append(...children) { this.children.push(...children) }
  set textContent(text) { this.children = [text] }
  get text() { return this.children.map(child => child instanceof Element ? child.text : String(child)).join('') }
  all(name) {
    const own = name in this.attributes ? [this.attributes[name]] : []
    return own.concat(...this.children.filter(child => child instanceof Element).map(child => child.all(name)))
  }
}

const places = { title: new Element(), about: new Element(), operations: new Element(), schemas: new Element() }
globalThis.document = { createElement: () => new Element(), getElementById: id => places[id] }
const plainFetch = fetch
globalThis.fetch = path => plainFetch(new URL(path, `${origin}/docs`))
await (0, eval)(script)

const everything = Object.values(places)
console.log(JSON.stringify({
  ...Object.fromEntries(Object.entries(places).map(([id, place]) => [id, place.text])),
  links: everything.flatMap(place => place.all('href')),
  ids: everything.flatMap(place => place.all('id')),
}))
