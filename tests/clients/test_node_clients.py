"""Packages from npm speak to the API as they are."""

from __future__ import annotations

import pytest

from modules.library.scan import DEMO_MODEL
from tests.support.clients import client_node, no_node, run_client

_HEAD = """
import assert from "node:assert/strict";
const [address, model] = process.argv.slice(2);
const question = "How much memory is free?";
"""

OPENAI = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none" });
const asked = { model, messages: [{ role: "user", content: question }], max_tokens: 30, temperature: 0 };
const text = (await client.chat.completions.create(asked)).choices[0].message.content;
assert(text);
let streamed = "";
for await (const part of await client.chat.completions.create({ ...asked, stream: true })) {
  streamed += part.choices[0]?.delta?.content ?? "";
}
assert.equal(streamed, text);
const unit = { type: "string", enum: ["bytes", "GiB"] };
const parameters = { type: "object", properties: { unit }, required: ["unit"] };
const tools = [{ type: "function", function: { name: "free_memory", parameters } }];
const called = await client.chat.completions.create({ ...asked, max_tokens: 200, tools, tool_choice: "required" });
assert.equal(called.choices[0].message.tool_calls[0].function.name, "free_memory");
const response = await client.responses.create({ model, input: question, max_output_tokens: 20 });
assert(response.output_text);
assert.equal((await client.embeddings.create({ model, input: ["one", "two"] })).data.length, 2);
await assert.rejects(client.chat.completions.create({ ...asked, model: "nope" }), { status: 404 });
"""

AI = """
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText, generateObject } from "ai";
import { z } from "zod";
const paddock = createOpenAICompatible({
  name: "paddock", baseURL: `${address}/v1`, apiKey: "none", supportsStructuredOutputs: true,
});
const { text } = await generateText({ model: paddock(model), prompt: question, temperature: 0 });
assert(text);
let streamed = "";
for await (const part of streamText({ model: paddock(model), prompt: question, temperature: 0 }).textStream) {
  streamed += part;
}
assert.equal(streamed, text);
const schema = z.object({ unit: z.enum(["bytes", "GiB"]) });
const { object } = await generateObject({ model: paddock(model), schema, prompt: question });
assert(["bytes", "GiB"].includes(object.unit));
"""

CLIENTS = {
    "openai": (OPENAI, ["openai@6.49.0"]),
    "ai": (AI, ["ai@6.0.326", "@ai-sdk/openai-compatible@2.0.92", "zod@4.6.7"]),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_works_as_it_is(address: str, name: str) -> None:
    if reason := no_node():
        pytest.skip(reason)
    script, packages = CLIENTS[name]
    folder = client_node(f"node-{name}", packages)
    run_client(["node", "--input-type=module", "-"], _HEAD + script, address, DEMO_MODEL, folder=folder)
