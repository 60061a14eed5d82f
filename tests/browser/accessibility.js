/* What a person with a screen reader, a keyboard, poor sight or a large thumb would stumble over: a list of sentences. */
(() => {
  const faults = [], all = s => [...document.querySelectorAll(s)];
  const seen = e => e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length > 0;
  const name = e => `${e.tagName.toLowerCase()}${e.id ? '#' + e.id : ''} '${(e.textContent || e.value || '').trim().slice(0, 40)}'`;
  const say = (bad, text) => { if (bad) faults.push(text); };

  say(!document.documentElement.lang, 'the page has no language');
  say(!document.title.trim(), 'the page has no title');
  say(all('main').length !== 1, 'there is not one main landmark');
  say(all('h1').length !== 1, 'there is not one h1');
  all('h1,h2,h3,h4').reduce((before, h) => {
    say(+h.tagName[1] > before + 1, `${name(h)} skips a level`);
    return +h.tagName[1];
  }, 0);
  all('nav,section').forEach(e => say(!e.ariaLabel && !e.getAttribute('aria-labelledby') && !e.querySelector('h1'), `${name(e)} has no name`));
  const ids = all('[id]').map(e => e.id);
  ids.forEach((id, at) => say(ids.indexOf(id) !== at, `the id ${id} is used twice`));
  all('[aria-labelledby],[aria-describedby],label[for]').forEach(e =>
    ['aria-labelledby', 'aria-describedby', 'for'].forEach(a => (e.getAttribute(a) || '').split(' ').filter(Boolean)
      .forEach(id => say(!document.getElementById(id), `${name(e)} points at ${id}, which is not there`))));
  all('input:not([type=hidden]),select,textarea').forEach(e => say(!e.labels.length, `${name(e)} has no label`));
  all('input[type=radio]').forEach(e => say(!e.closest('fieldset')?.querySelector('legend'), `${name(e)} is in no named group`));
  all('a,button,summary').forEach(e => say(!e.textContent.trim(), `${name(e)} says nothing`));
  all('img').forEach(e => say(!e.hasAttribute('alt'), `${name(e)} has no alt`));
  all('[role=img]').forEach(e => say(!e.ariaLabel, `${name(e)} has no name`));
  all('[tabindex],[autofocus]').forEach(e => say(true, `${name(e)} changes the order of focus`));
  all('[style],script,[onclick],[onload]').forEach(e => say(true, `${name(e)} carries style or script`));
  all('table').forEach(e => say(!e.caption || e.querySelector('th:not([scope])'), `${name(e)} has no caption or scope`));

  all('button,summary,a.button,nav a,select,textarea,input:not([type=hidden]):not([type=radio]),.choice label,.ways a').filter(seen).forEach(e => {
    const box = e.getBoundingClientRect();
    say(box.height < 43.5 || box.width < 24, `${name(e)} is ${box.width.toFixed()} x ${box.height.toFixed()}: too small for a thumb`);
  });
  say(document.documentElement.scrollWidth > innerWidth, `the page is ${document.documentElement.scrollWidth} wide`);

  const rgb = text => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return {r, g, b, a}; };
  const light = ({r, g, b}) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.a) return c; } return {r: 255, g: 255, b: 255}; };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + .05) / (y + .05); };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const e = node.parentElement;
    if (!node.data.trim() || !seen(e) || e.closest('svg,.hidden,option')) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize), bold = +style.fontWeight >= 700;
    const found = contrast(rgb(style.color), ground(e)), least = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    say(found < least, `${name(e)} has a contrast of ${found.toFixed(2)}`);
  }
  all('input:not([type=hidden]):not([type=radio]),select,textarea').filter(seen).forEach(e =>
    say(contrast(rgb(getComputedStyle(e).borderColor), ground(e.parentElement)) < 3, `the border of ${name(e)} can hardly be seen`));
  return faults;
})()
