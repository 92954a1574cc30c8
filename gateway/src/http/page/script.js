// Replaces the page by a newer one, again and again, while it is visible.
(() => {
  'use strict';
  const byId = id => document.getElementById(id);
  const announce = text => { if (byId('live').textContent !== text) byId('live').textContent = text; };
  let updated = new Date(), used = Date.now(), failures = 0, busy = false, timer;

  function schedule() {
    clearTimeout(timer);
    const period = document.querySelector('main').dataset.poll;
    // A reader sees a new failure at once; a page that is only on display is gentler.
    const seconds = Date.now() - used < 600e3 ? 1 : period;
    if (!document.hidden) timer = setTimeout(poll, Math.min(60, seconds * 2 ** failures) * 1000);
  }

  function show(page) {
    const old = document.querySelector('main'), main = page.querySelector('main');
    const {scrollX, scrollY} = window, active = document.activeElement;
    for (const {id} of old.querySelectorAll('details[open]')) {
      const details = page.getElementById(id);
      if (details) details.open = true;
    }
    const id = old.contains(active) && active.id;
    old.replaceWith(main);
    const focused = id && byId(id);
    if (focused) {
      focused.focus({preventScroll: true});
      if (active.type === 'search') {
        focused.value = active.value;
        focused.setSelectionRange(active.selectionStart, active.selectionEnd);
      }
    }
    scrollTo(scrollX, scrollY);
    document.title = page.title;
    document.querySelector('link[rel=icon]').href = page.querySelector('link[rel=icon]').href;
    announce(main.querySelector('h1').textContent);
  }

  async function poll() {
    if (busy) return;
    busy = true;
    try {
      const options = {headers: {Accept: 'text/html'}, cache: 'no-store', signal: AbortSignal.timeout(30e3)};
      const response = await fetch(location.href, options);
      if (!response.headers.get('Content-Type').startsWith('text/html')) throw response.status;
      show(new DOMParser().parseFromString(await response.text(), 'text/html'));
      [updated, failures, byId('stale').textContent] = [new Date(), 0, ''];
    } catch {
      failures = Math.min(failures + 1, 6);
      byId('stale').textContent = `Not updated since ${updated.toISOString().slice(11, 19)} (UTC)`;
    }
    busy = false;
    schedule();
  }

  for (const kind of ['pointerdown', 'keydown', 'scroll', 'visibilitychange'])
    document.addEventListener(kind, () => { used = Date.now(); }, {passive: true});
  document.addEventListener('visibilitychange', () => document.hidden ? clearTimeout(timer) : poll());
  announce(document.querySelector('h1').textContent);
  schedule();
})();
