-- Gives the classes of the Markdown source their look in the PDF.

local KINDS = { yes = true, part = true, no = true, open = true }

function Span(span)
  if not span.classes:includes("verdict") then return nil end
  for _, class in ipairs(span.classes) do
    if KINDS[class] then
      local inlines = pandoc.Inlines({ pandoc.RawInline("typst", '#verdict("' .. class .. '")[') })
      inlines:extend(span.content)
      inlines:insert(pandoc.RawInline("typst", "]"))
      return inlines
    end
  end
end

function Div(div)
  if div.classes:includes("drawn") then return {} end -- the page header says it already
  local call
  if div.classes:includes("callout") then
    call = "#callout(" .. (div.classes:includes("warning") and "tints.no" or "accent") .. ")["
  elseif div.classes:includes("long") then
    call = "#long["
  else
    return nil
  end
  local blocks = pandoc.Blocks({ pandoc.RawBlock("typst", call) })
  blocks:extend(div.content)
  blocks:insert(pandoc.RawBlock("typst", "]"))
  return blocks
end
