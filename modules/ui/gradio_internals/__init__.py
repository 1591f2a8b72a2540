"""Everything that leans on parts of Gradio that its documentation does not promise.

An update of Gradio may change any of them without notice. tests/ui/test_gradio_internals.py names the version that they
were checked with, and asserts that each of them exists.

| file | what it leans on |
|---|---|
| `rerender.py` | the tables of a session, which `gr.render` draws into |
| `drawing.py` | the context of the Blocks that are being built, and their tables |
| `component_classes.py` | the metaclasses of components, and the names by which the page chooses a widget |
| `event_listeners.py` | the tables of events, and what a listener returns |
| `hidden_progress.py` | the components on which an event shows its progress |
| `event_queue.py` | how often the queue looks for new events |
| `stub_files.py` | the function that writes a .pyi file for each component |
| `slider.py` | the metaclass of components |
| `hidden_state.py` | a hidden textbox is in the page, and its `change` event fires |
| `served_routes.py` | the paths of Gradio's application, and which of them its page uses |
| `page_html.py` | the scripts and links in the HTML of Gradio's page |
| `static/gradio_internals/event_requests.js` | Gradio's script calls `window.fetch` for its events |
| `static/gradio_internals/form_fields.js` | the elements that Gradio draws, and the DOM events they answer to |
"""
